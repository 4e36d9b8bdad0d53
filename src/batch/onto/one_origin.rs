//! A list over one origin other than a file or device: an address, a pipe, an end of a
//! caller's own. It is opened once, and may give its bytes once; so the list can say
//! which parts of it are wanted, and not put them together in another way.

use std::sync::Arc;

use super::layout::{Layout, Way};
use super::{Onto, Wanted};
use crate::cpu::Pool;
use crate::endpoint::Origin;
use crate::error::{ErrorKind, Result, quoted};
use crate::manifest::{self, Runs};

impl Onto {
    /// What the list makes of `origin`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadList`] and [`Refusal::List`](crate::Refusal::List) as ever;
    /// [`ErrorKind::Usage`] where the list wants what only files can give.
    pub(super) fn of_origin(&self, origin: Arc<dyn Origin>) -> Result<Wanted> {
        let name = quoted(origin.path());
        let refused = |why: String| Err(ErrorKind::usage(why).into());
        if let Some(item) = self.items.iter().find(|item| item.source.is_some()) {
            let other = quoted(item.source.as_deref().unwrap_or(&item.name));
            return refused(format!("the list names {other}, and all ranges would be of {name}"));
        }
        let is_stream = origin.read_order().stream().is_some();
        if is_stream && self.items.iter().any(|item| matches!(item.runs, Runs::Whole)) {
            return refused(format!("every range needs an end: the length of {name} is not known"));
        }
        let size = origin.source().size();
        let pool = Pool::for_items(self.items.len());
        self.check_list(manifest::check_with(&self.items, |_| Ok(size), &pool))?;
        let layout = Layout::of(&self.items, |_| (0, size));
        match layout.way(|_| size) {
            Way::OneSource { range, .. } => Ok(self.of_one(origin, range, &layout)),
            Way::Assembled => refused(format!(
                "{name} can be copied only as it lies: every range must be moved by the same distance, \
                 and none may be zeros that are not there"
            )),
        }
    }
}
