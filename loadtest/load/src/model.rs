//! The load model of a run: what the workload's file and the command line together ask for.

use measure::record::{Model, RateStretch};
use scenarios::{Arrive, ClosedModel, OpenModel, Rate, Workload};

/// One model; a record never mixes two (invariant 7).
#[derive(Debug, Clone, PartialEq)]
pub enum LoadModel {
    /// Users who wait for their answers.
    Closed(ClosedModel),
    /// Arrivals that do not.
    Open(OpenModel),
}

/// Model and figures that the command line gives.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wanted {
    /// The model, by its name.
    pub model: Option<Model>,
    /// Arrivals per second, constant.
    pub rate_per_s: Option<f64>,
    /// Users at once.
    pub users: Option<u32>,
}

impl LoadModel {
    /// The model that is wanted; without a word about it the one of the file, closed where it has both. A rate given
    /// makes it open, users given make it closed.
    ///
    /// # Errors
    /// In words, when the workload lacks what is wanted.
    pub fn choose(workload: &Workload, wanted: Wanted) -> Result<Self, String> {
        let by_figure = match (wanted.rate_per_s, wanted.users) {
            (Some(_), Some(_)) => {
                return Err("--rate is for the open model, --users for the closed one: give one of them".into());
            }
            (Some(_), None) => Some(Model::Open),
            (None, Some(_)) => Some(Model::Closed),
            (None, None) => None,
        };
        if let (Some(model), Some(implied)) = (wanted.model, by_figure)
            && model != implied
        {
            return Err("--rate is for the open model, --users for the closed one".into());
        }
        let in_file = match (&workload.models.closed, &workload.models.open) {
            (Some(_), _) => Some(Model::Closed),
            (None, Some(_)) => Some(Model::Open),
            (None, None) => None,
        };
        let chosen = wanted.model.or(by_figure).or(in_file).ok_or_else(|| {
            format!(
                "workload `{}` has no load model: give --users N or --rate REQUESTS_PER_SECOND, or add a table \
                 [model.closed] or [model.open] to it",
                workload.name
            )
        })?;
        match chosen {
            Model::Closed => Self::closed(workload, wanted.users),
            Model::Open => Self::open(workload, wanted.rate_per_s),
        }
    }

    fn closed(workload: &Workload, users: Option<u32>) -> Result<Self, String> {
        let from_file = workload.models.closed;
        let given = users.map(|users| ClosedModel {
            users,
            ramp_s: from_file.map_or(0.0, |model| model.ramp_s),
        });
        given
            .or(from_file)
            .map(Self::Closed)
            .ok_or_else(|| format!("workload `{}` has no [model.closed]: give --users N", workload.name))
    }

    fn open(workload: &Workload, rate_per_s: Option<f64>) -> Result<Self, String> {
        let given = rate_per_s.map(|rate_per_s| Self::open_at(workload, rate_per_s));
        given
            .or_else(|| workload.models.open.clone())
            .map(Self::Open)
            .ok_or_else(|| {
                format!(
                    "workload `{}` has no [model.open]: give --rate REQUESTS_PER_SECOND, or --model closed",
                    workload.name
                )
            })
    }

    /// The open model of the file, if it has one, at a constant rate of arrivals.
    pub fn open_at(workload: &Workload, rate_per_s: f64) -> OpenModel {
        let from_file = workload.models.open.clone();
        OpenModel {
            rate: Rate::constant(rate_per_s),
            ..from_file.unwrap_or_else(|| workload.open_model_at(rate_per_s))
        }
    }

    /// Connections that may be open at once.
    pub fn most_connections(&self) -> u64 {
        match self {
            Self::Closed(model) => model.users.into(),
            Self::Open(model) => model.connections.into(),
        }
    }

    /// As the record calls it.
    pub fn kind(&self) -> Model {
        match self {
            Self::Closed(_) => Model::Closed,
            Self::Open(_) => Model::Open,
        }
    }

    /// Seconds in which users or arrivals increase at the beginning.
    pub(crate) fn ramp_s(&self) -> f64 {
        match self {
            Self::Closed(model) => model.ramp_s,
            Self::Open(model) => model.ramp_s,
        }
    }

    /// "100 users", "200/s poisson requests": for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Closed(model) => format!("{} users", model.users),
            Self::Open(model) => format!(
                "open, {}, {} {} on at most {} connections",
                model.rate.describe(),
                model.spacing.as_str(),
                model.arrive.as_str(),
                model.connections
            ),
        }
    }

    /// Requests due per second over the mix, the mean over `measure_s`; only the open model has one.
    pub fn requests_per_s(&self, workload: &Workload, measure_s: f64) -> Option<f64> {
        match self {
            Self::Closed(_) => None,
            Self::Open(model) => Some(model.rate.mean_per_s(measure_s) * workload.requests_per_arrival(model.arrive)),
        }
    }

    /// Whether what arrives is sessions, so that the number of requests is only expected.
    pub fn has_sessions(&self) -> bool {
        matches!(self, Self::Open(model) if model.arrive == Arrive::Sessions)
    }

    /// How the rate changes over `measure_s`; nothing where it does not.
    pub fn stretches(&self, measure_s: f64) -> Vec<RateStretch> {
        match self {
            Self::Closed(_) => Vec::new(),
            Self::Open(model) => model.rate.stretches(measure_s),
        }
    }

    /// How arrivals come, for the record: spacing, what arrives, and the rate's shape.
    pub fn arrivals(&self) -> Option<String> {
        match self {
            Self::Closed(_) => None,
            Self::Open(model) => Some(match model.arrive {
                Arrive::Requests => format!("{} at {}", model.spacing.as_str(), model.rate.describe()),
                Arrive::Sessions => format!("{} sessions at {}", model.spacing.as_str(), model.rate.describe()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn phase2_mix() -> Workload {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/workloads/phase2-mix.toml");
        Workload::load(&file).unwrap()
    }

    fn wanted(model: Option<Model>, rate_per_s: Option<f64>, users: Option<u32>) -> Wanted {
        Wanted {
            model,
            rate_per_s,
            users,
        }
    }

    #[test]
    fn the_file_decides_unless_the_command_line_does() {
        let workload = phase2_mix();
        let chosen = |wanted| LoadModel::choose(&workload, wanted);
        assert_eq!(chosen(Wanted::default()).unwrap().describe(), "100 users");
        assert_eq!(chosen(wanted(None, None, Some(7))).unwrap().describe(), "7 users");
        let open = chosen(wanted(None, Some(50.0), None)).unwrap();
        assert_eq!(
            open.describe(),
            "open, 50/s, poisson requests on at most 256 connections"
        );
        assert_eq!(open.requests_per_s(&workload, 10.0), Some(50.0));
    }

    #[test]
    fn what_contradicts_itself_or_lacks_a_figure_is_refused() {
        let workload = phase2_mix();
        let refused = |wanted| LoadModel::choose(&workload, wanted).unwrap_err();
        assert!(refused(wanted(Some(Model::Open), None, None)).contains("--rate"));
        assert!(refused(wanted(Some(Model::Closed), Some(5.0), None)).contains("--rate is for the open model"));
        assert!(refused(wanted(None, Some(5.0), Some(5))).contains("give one of them"));
    }
}
