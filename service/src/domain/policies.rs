//! The extent of a vehicle's insurance.

text_enum! {
    /// Extent of cover, from least to most.
    pub enum Coverage {
        /// Damage done to others.
        Liability => "liability",
        /// Liability, and theft, fire and glass.
        Partial => "partial",
        /// Partial, and damage to the own vehicle by its driver.
        Comprehensive => "comprehensive",
    }
}
