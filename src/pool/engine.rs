//! What a worker asks of a way to move bytes. The ways there are, and the
//! choice between them, are in the room `engine`.

use super::stripe_io::{Halt, StripeIo};
use crate::range::ByteRange;
use crate::report::Fallback;

/// One way to move the bytes of a stripe.
pub trait Engine: Send + Sync {
    /// Its name on the command line and in the report.
    fn name(&self) -> &'static str;

    /// Copies `stripe`, telling `io` of everything that is done or failed.
    ///
    /// # Errors
    ///
    /// See [`Halt`]. Everything before the offset in it has been dealt with.
    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt>;

    /// A way of its own that gave way to another when it was made, although it
    /// was to be expected to work.
    fn gave_way(&self) -> Option<Fallback> {
        None
    }

    /// Things worth knowing that are not errors, for the report.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Copies `range` by ordinary requests through the buffer: all of `positioned`,
/// and what every other engine does where its own way is in doubt.
pub fn copy_buffered(range: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
    let transfer = io.transfer();
    for request in io.requests(range) {
        io.copy_request(&*transfer.source, &*transfer.sink, request)?;
    }
    Ok(())
}
