//! Giving up a region's last state, by order: a program whose state means something else begins
//! anew.

use thiserror::Error;

use super::{Broker, Host};
use crate::segment::RegionName;

/// Why a state is not given up.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NotDropped {
    /// No such region.
    #[error("no region {0} is configured")]
    Unknown(RegionName),
    /// A process has it, or may have.
    #[error(
        "region {0} has processes that write it or stand by for it: end them first, their state \
         would be another one"
    )]
    InUse(RegionName),
    /// There is no state.
    #[error("region {0} has no state: nothing was committed, or it was given up before")]
    Nothing(RegionName),
}

impl Broker {
    /// Gives the last state of a region up; whoever reads it keeps what it has mapped.
    ///
    /// # Errors
    /// See [`NotDropped`]; nothing has changed then.
    pub fn drop_state(
        &mut self,
        region: RegionName,
        host: &mut impl Host,
    ) -> Result<(), NotDropped> {
        let id = self.book.region(region).ok_or(NotDropped::Unknown(region))?;
        let places = [&mut self.in_force, &mut self.past].map(|all| &mut all[id.index()]);
        if places.iter().all(|it| it.is_none()) {
            return Err(NotDropped::Nothing(region));
        }
        if !self.book.forget(id) {
            return Err(NotDropped::InUse(region));
        }
        let dropped = places.map(Option::take);
        for segment in dropped {
            self.give_up(segment, host);
        }
        Ok(())
    }
}
