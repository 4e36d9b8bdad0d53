//! In which order a source is read, and what is handed to a sink becomes written.

use std::sync::Arc;

use super::deferred::DeferredPrefix;
use super::{Incoming, Ordered};
use crate::range::{ByteRange, RangeSet};

/// In which order a source is read.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ReadOrder {
    /// At any offset, as often as wanted.
    #[default]
    Any,
    /// Once, one byte after the other, as a stream.
    Once(Arc<Incoming>),
}

impl ReadOrder {
    /// Whether it is a stream that ends nobody knows where.
    pub fn is_endless(&self) -> bool {
        self.stream().is_some_and(|stream| stream.length().is_none())
    }

    /// The stream, if it is one.
    pub fn stream(&self) -> Option<&Incoming> {
        match self {
            ReadOrder::Any => None,
            ReadOrder::Once(stream) => Some(stream),
        }
    }
}

/// In which order what is handed to a sink becomes written.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum WriteOrder {
    /// At once, at any offset.
    #[default]
    Any,
    /// One byte after the other, as in a stream.
    Ascending(Arc<Ordered>),
    /// The first bytes last. Until then they are in memory.
    FirstLast(Arc<DeferredPrefix>),
    /// In parts, each when all of it has come. Until then it is in memory.
    InParts(Arc<dyn Gathering>),
}

/// What gathers bytes until there are enough of them to be written.
pub trait Gathering: Send + Sync {
    /// What was handed over and is not written, in bytes of the sink. What is
    /// written is never in it again.
    fn gathered(&self) -> RangeSet;
}

impl WriteOrder {
    /// The stream, if it is one.
    pub fn stream(&self) -> Option<&Ordered> {
        match self {
            WriteOrder::Ascending(stream) => Some(stream),
            _ => None,
        }
    }

    /// Where writes are kept in memory until the end, in bytes of the sink: an
    /// engine that goes around the sink must not serve it.
    pub fn deferred(&self) -> ByteRange {
        match self {
            WriteOrder::FirstLast(prefix) => prefix.extent(),
            _ => ByteRange::default(),
        }
    }

    /// What was handed to the sink and is still kept in memory, so that no sync
    /// covers it (invariant I3).
    pub fn not_written(&self) -> RangeSet {
        match self {
            WriteOrder::FirstLast(prefix) => prefix.held(),
            WriteOrder::InParts(parts) => parts.gathered(),
            _ => RangeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{FileIo, Sink};
    use crate::progress::CancelToken;
    use crate::sys::DeviceInfo;

    /// Sinks used to say this themselves, and one that was wrapped in another did
    /// not: workers behind a bad sector waited for ever.
    #[test]
    fn the_order_is_known_whatever_wraps_the_sink() {
        let file = || tempfile::tempfile().unwrap();
        let stream = Arc::new(Ordered::new(file(), 1, &CancelToken::new()));
        let order = WriteOrder::Ascending(stream.clone());
        stream.abandon();
        assert!(order.stream().is_some_and(Ordered::is_abandoned));
        assert!(order.deferred().is_empty() && order.not_written().is_empty());

        let info = DeviceInfo { size: 4 << 20, ..DeviceInfo::default() };
        let device = FileIo::device(file(), &info).with_head_last();
        let order = device.write_order();
        let wrapped: Arc<dyn Sink> = Arc::new(device);
        wrapped.write_at(100, b"table").unwrap();
        assert!(order.stream().is_none() && !order.deferred().is_empty());
        assert_eq!(order.not_written(), ByteRange::between(100, 105).into());

        let order = FileIo::new(file(), 9).write_order();
        assert!(order.stream().is_none() && order.deferred().is_empty());
    }
}
