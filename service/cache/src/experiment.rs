//! Experiments: a share of the keys is read by another policy, so that two strategies can be compared under the same
//! load. What each arm did is counted in [`Stats`](crate::Stats), and told to the [`Observer`](crate::Observer) with
//! every lookup.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::{
    key::Key,
    policy::{Arm, Policy},
};

/// Two policies, and the share of the keys that gets the second. A key is in the same arm on every replica and at every
/// time; another salt makes another division.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experiment {
    a: Policy,
    b: Policy,
    /// Out of 65,536.
    share_b: u32,
    salt: u64,
}

impl Experiment {
    /// `share_b` is from 0 to 1.
    pub fn new(a: Policy, b: Policy, share_b: f64, salt: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 65,536 after the clamp"
        )]
        let share_b = (share_b.clamp(0.0, 1.0) * 65_536.0).round() as u32;
        Self {
            a: a.with_arm(Arm::A),
            b: b.with_arm(Arm::B),
            share_b,
            salt,
        }
    }

    /// The policy of this key; its arm is in it.
    pub fn policy(&self, key: &Key) -> &Policy {
        match self.arm(key) {
            Arm::A => &self.a,
            Arm::B => &self.b,
        }
    }

    /// The arm of this key.
    pub fn arm(&self, key: &Key) -> Arm {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        hasher.write(key.as_str().as_bytes());
        let [low, high, ..] = hasher.finish().to_le_bytes();
        if u32::from(u16::from_le_bytes([low, high])) < self.share_b {
            Arm::B
        } else {
            Arm::A
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn share_of_b(experiment: &Experiment) -> usize {
        let keys = (0..10_000).map(|id| Key::new("driver").part(id));
        keys.filter(|key| experiment.arm(key) == Arm::B).count()
    }

    #[test]
    fn the_share_is_kept_and_the_salt_moves_it() {
        let policy = Policy::ttl(Duration::from_secs(1));
        for (share, expected) in [(0.0, 0..=0), (0.2, 1_850..=2_150), (1.0, 10_000..=10_000)] {
            let count = share_of_b(&Experiment::new(policy, policy, share, 1));
            assert!(expected.contains(&count), "{share}: {count}");
        }
        let (one, two) = (
            Experiment::new(policy, policy, 0.5, 1),
            Experiment::new(policy, policy, 0.5, 2),
        );
        let moved = (0..1_000).filter(|id| {
            let key = Key::new("driver").part(id);
            one.arm(&key) != two.arm(&key)
        });
        assert!((400..600).contains(&moved.count()));
    }

    #[test]
    fn a_key_gets_the_policy_of_its_arm() {
        let (a, b) = (Policy::ttl(Duration::from_secs(1)), Policy::ttl(Duration::from_secs(2)));
        let key = Key::new("driver");
        let policy = *Experiment::new(a, b, 1.0, 0).policy(&key);
        assert_eq!((policy.base_ttl(), policy.arm), (Duration::from_secs(2), Some(Arm::B)));
    }
}
