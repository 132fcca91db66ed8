//! Regions, by which watchers of the portfolio choose what they see.

use super::ids::DriverId;

text_enum! {
    /// Part of the country that a driver is looked after in.
    pub enum Region {
        /// The north.
        North => "north",
        /// The east.
        East => "east",
        /// The south.
        South => "south",
        /// The west.
        West => "west",
    }
}

impl Region {
    /// The region that looks after a driver. The portfolio knows no addresses, so drivers are dealt out by their
    /// numbers; events carry the region, so that their readers do not depend on this rule.
    pub fn of(id: DriverId) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "the remainder is from 0 to 3"
        )]
        let place = id.0.rem_euclid(Self::ALL.len() as i64) as usize;
        Self::ALL[place]
    }
}
