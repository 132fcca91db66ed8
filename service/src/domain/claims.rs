//! Claims and which of them count.

text_enum! {
    /// Where a claim stands.
    pub enum ClaimStatus {
        /// Reported; its amount is the reserve set aside for it.
        Open => "open",
        /// Settled; its amount is what was paid.
        Paid => "paid",
        /// Refused: it neither costs anything nor counts against the driver.
        Rejected => "rejected",
    }
}

impl ClaimStatus {
    /// Whether the claim is part of the incurred amount (paid and outstanding) and of the driver's record.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Rejected)
    }
}
