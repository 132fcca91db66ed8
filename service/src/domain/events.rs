//! What happens to the portfolio and is told to the rest of the system. The details of each event stand with its
//! subject: [`TripRecorded`](super::trips::TripRecorded), [`ClaimChanged`](super::claims::ClaimChanged),
//! [`DriverUpdated`](super::drivers::DriverUpdated). How they travel is the business of the events room.

text_enum! {
    /// Kind of an event.
    pub enum EventName {
        /// A trip was recorded.
        TripRecorded => "trip_recorded",
        /// A claim was reported, or has changed.
        ClaimChanged => "claim_changed",
        /// A driver's own data have changed.
        DriverUpdated => "driver_updated",
    }
}
