//! Drivers as the insurer knows them.

text_enum! {
    /// Where a driver's contract stands.
    pub enum DriverStatus {
        /// Insured.
        Active => "active",
        /// Cover is paused, for example for an unpaid premium.
        Suspended => "suspended",
        /// The contract has ended.
        Lapsed => "lapsed",
    }
}
