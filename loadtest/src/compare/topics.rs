//! Topics of Kafka of a round: they are opened before the load, their backlogs are worked off behind it, and what was
//! seen of them goes into the record.

use std::{collections::BTreeMap, sync::Arc};

use load::{Attack, BacklogReport, EffectReport, LoadError, ProducedReport, TopicPlace, TopicReport, WatchedTopic};
use measure::{
    figures::count,
    metrics,
    record::{EndpointCounts, Topic, TopicBacklog, TopicEffects, TopicProduced},
    rounds::Measured,
};
use scenarios::{Need, Placeholder, Text, Workload};

use super::{
    MEASURED,
    plan::{Plan, Purpose},
};
use crate::{
    error::HarnessError,
    launchpad::{Resident, Surroundings},
    subject::Subject,
};

/// Refuses a workload that speaks of the topic, the brokers or the name of a launch, where a subject has none.
pub(crate) fn check(plan: &Plan) -> Result<(), HarnessError> {
    let mut refused = plan
        .subjects
        .iter()
        .filter_map(|subject| refusal(&plan.workload, subject));
    refused.next().map_or(Ok(()), |why| Err(HarnessError::Usage(why)))
}

fn refusal(workload: &Workload, subject: &Subject) -> Option<String> {
    workload.topics.iter().find_map(|topic| {
        let texts = [&topic.brokers, &topic.topic].into_iter().chain(&topic.group);
        let why = texts.flat_map(Text::places).find_map(|place| lacks(subject, place))?;
        Some(format!("[kafka.{}]: {why}", topic.name))
    })
}

/// Why a subject has nothing for a place.
fn lacks(subject: &Subject, place: Placeholder) -> Option<String> {
    let advice = "give `brokers = \"HOST:PORT\"`, `topic = \"NAME\"` and, for effects, `group = \"NAME\"`";
    let Some(build) = subject.build() else {
        return Some(format!(
            "{} runs already, so that nobody here knows its {place}; {advice}",
            subject.spec
        ));
    };
    let needs_kafka = build.service.needs.contains(&Need::Kafka);
    let is_of_kafka = place != Placeholder::Namespace;
    (is_of_kafka && !needs_kafka).then(|| {
        format!(
            "{} is launched without Kafka, so that there is no {place}: its subject file would say `needs = \
             [\"kafka\"]`; or {advice}",
            subject.spec
        )
    })
}

/// Opens all topics of the workload.
///
/// # Errors
/// When one of them is not there.
pub(super) async fn open(workload: &Workload, resident: &Resident<'_>) -> Result<Vec<Arc<WatchedTopic>>, LoadError> {
    let mut opened = Vec::new();
    for topic in &workload.topics {
        let fill = |text: &Text| {
            let filled = text.fill(&|place| resident.place(place));
            filled.map_err(|place| LoadError::Setup(format!("[kafka.{}]: this subject has no {place}", topic.name)))
        };
        let place = TopicPlace {
            brokers: fill(&topic.brokers)?,
            topic: fill(&topic.topic)?,
            group: topic.group.as_ref().map(fill).transpose()?,
        };
        opened.push(Arc::new(WatchedTopic::open(topic, place).await?));
    }
    Ok(opened)
}

/// Produces the backlogs of all topics, one after the other, and waits for their groups; none in a search for
/// capacity, whose steps are many.
///
/// # Errors
/// When the generator cannot, the subject ends or the user stops the run.
pub(super) async fn work_off(
    plan: &Plan,
    attack: &Attack,
    around: Surroundings<'_>,
    resident: &mut Resident<'_>,
) -> Result<BTreeMap<String, BacklogReport>, HarnessError> {
    let mut done = BTreeMap::new();
    if matches!(plan.purpose, Purpose::Capacity(_)) {
        return Ok(done);
    }
    for (index, topic) in plan.workload.topics.iter().enumerate() {
        let Some(backlog) = &topic.backlog else { continue };
        let (name, messages) = (&topic.name, count(backlog.messages));
        around
            .progress
            .line(&format!("  {name}: producing a backlog of {messages} messages"));
        let worked_off = tokio::select! {
            biased;
            () = around.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
            error = resident.lost(|| format!("during the backlog of `{name}`")) => Err(error),
            worked_off = attack.work_off_backlog(index) => worked_off.map_err(HarnessError::from),
        };
        if let Some(report) = worked_off? {
            around.progress.line(&format!("  {name}: {}", said(&report)));
            done.insert(name.clone(), report);
        }
    }
    Ok(done)
}

/// "100,000 of 100,000 messages worked off in 3.2 s (31,250/s), produced in 1.1 s".
fn said(report: &BacklogReport) -> String {
    let backlog = backlog(report);
    let rate = backlog
        .worked_off_per_s()
        .map_or_else(String::new, |per_s| format!(" ({per_s:.0}/s)"));
    format!(
        "{} of {} messages worked off in {:.1} s{rate}, produced in {:.1} s",
        count(backlog.worked_off),
        count(backlog.messages),
        backlog.took_s,
        backlog.produced_s
    )
}

/// By name, as they stand in a record.
pub(super) fn to_record(topics: Vec<TopicReport>) -> BTreeMap<String, Topic> {
    let topics = topics.into_iter();
    topics
        .map(|mut report| (std::mem::take(&mut report.name), topic(report)))
        .collect()
}

/// Adds the backlogs that were worked off when the load was over.
pub(super) fn add_backlogs(topics: &mut BTreeMap<String, Topic>, backlogs: &BTreeMap<String, BacklogReport>) {
    for (name, report) in backlogs {
        if let Some(topic) = topics.get_mut(name) {
            topic.backlog = Some(backlog(report));
            topic.reasons.clone_from(&report.reasons);
        }
    }
}

fn backlog(report: &BacklogReport) -> TopicBacklog {
    TopicBacklog {
        messages: report.messages,
        acknowledged: report.acknowledged,
        worked_off: report.worked_off,
        produced_s: report.produced_s,
        took_s: report.took_s,
    }
}

fn topic(report: TopicReport) -> Topic {
    let account = report.account;
    Topic {
        partitions: u32::try_from(report.partitions).unwrap_or_default(),
        records: report.records.map(measured),
        owed: account.owed,
        missed: account.missed,
        doubled: account.doubled,
        reordered: account.reordered,
        unexplained: account.unexplained,
        not_kept: account.not_kept,
        effects: report.effects.map(effects),
        offset_lag_max: report.offset_lag_max,
        produced: report.produced.map(produced),
        backlog: None,
        reasons: report.reasons,
    }
}

fn effects(report: EffectReport) -> TopicEffects {
    TopicEffects {
        commits: measured(report.phases),
        owed: report.owed,
        missed: report.missed,
    }
}

fn produced(report: ProducedReport) -> TopicProduced {
    TopicProduced {
        acknowledgements: measured(report.phases),
        not_sent: report.not_sent,
    }
}

fn measured(mut phases: Vec<EndpointCounts>) -> EndpointCounts {
    phases.swap_remove(MEASURED)
}

/// Metrics over all topics of a round; none where nothing was followed.
pub(super) fn metrics_of(topics: &[TopicReport]) -> BTreeMap<String, f64> {
    let followed: Vec<&TopicReport> = topics.iter().filter(|topic| topic.records.is_some()).collect();
    let sum = |count: fn(&TopicReport) -> u64| {
        let counts = followed.iter().map(|topic| count(topic));
        (!followed.is_empty()).then(|| counts.sum::<u64>() as f64)
    };
    let effects = topics.iter().filter_map(|topic| topic.effects.as_ref());
    let missed_effects = effects.map(|effects| effects.missed).reduce(|sum, missed| sum + missed);
    let lag = topics.iter().filter_map(|topic| topic.offset_lag_max).max();
    let metrics = [
        (&metrics::KAFKA_LAG_P99_MS, lag_p99_ms(topics)),
        (&metrics::KAFKA_OFFSET_LAG, lag.map(|lag| lag as f64)),
        (&metrics::KAFKA_MISSED_RECORDS, sum(|topic| topic.account.missed)),
        (&metrics::KAFKA_DOUBLED_RECORDS, sum(|topic| topic.account.doubled)),
        (&metrics::KAFKA_REORDERED_RECORDS, sum(|topic| topic.account.reordered)),
        (
            &metrics::KAFKA_MISSED_EFFECTS,
            missed_effects.map(|missed| missed as f64),
        ),
    ];
    known(metrics)
}

/// Metrics of the backlogs of a round, over all of them; none where there was none.
pub(super) fn metrics_of_backlogs(backlogs: &BTreeMap<String, BacklogReport>) -> BTreeMap<String, f64> {
    let rate = |rate: fn(&TopicBacklog) -> Option<f64>| {
        let rates = backlogs.values().filter_map(|report| rate(&backlog(report)));
        rates.reduce(|sum, one| sum + one)
    };
    // Of several topics, each is worked off by itself: their mean, and not their sum.
    let mean = |sum: Option<f64>| sum.map(|sum| sum / backlogs.len() as f64);
    known([
        (
            &metrics::KAFKA_THROUGHPUT_MSGS_PER_S,
            mean(rate(TopicBacklog::worked_off_per_s)),
        ),
        (
            &metrics::KAFKA_PRODUCED_MSGS_PER_S,
            mean(rate(TopicBacklog::produced_per_s)),
        ),
    ])
}

fn known<const N: usize>(metrics: [(&metrics::Metric, Option<f64>); N]) -> BTreeMap<String, f64> {
    let known = metrics.into_iter();
    known
        .filter_map(|(metric, value)| Some((metric.key(), value?)))
        .collect()
}

/// 99th percentile of the times of all effects; what failed is slower than any.
fn lag_p99_ms(topics: &[TopicReport]) -> Option<f64> {
    let mut all = Measured::default();
    for effects in topics.iter().filter_map(|topic| topic.effects.as_ref()) {
        all.merge(&Measured::decode(&effects.phases[MEASURED]).ok()?);
    }
    Some(all.judged().quantile_us(0.99)? as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use scenarios::Service;

    use super::*;
    use crate::subject::{Build, Means, SubjectSpec};

    fn workload(keys: &str) -> Workload {
        let text = format!(
            "[endpoints.a]\nmethod = \"GET\"\npath = \"/\"\n[model.closed]\nusers = 1\n[kafka.events]\n{keys}\n\
             produce = {{ rate = {{ constant = {{ per_s = 1 }} }}, value = \"x\" }}\n"
        );
        Workload::parse(Path::new("w.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn subject(needs: &str) -> Subject {
        let text = format!("start = \"./shop --port {{port}}\"\nneeds = [{needs}]\n");
        let service = Service::parse(Path::new("shop.toml"), &text).unwrap_or_else(|error| panic!("{error}"));
        Subject {
            name: "shop".to_owned(),
            spec: SubjectSpec::Binary {
                path: Path::new("/bin/shop").to_owned(),
                profile: None,
            },
            means: Means::Launch(Build {
                service: Arc::new(service),
                dir: "/".into(),
                program: None,
                image: None,
                sha256: String::new(),
                git: None,
            }),
            variables: BTreeMap::new(),
        }
    }

    #[test]
    fn a_service_without_kafka_has_no_topic_of_its_own() {
        let said = refusal(&workload(""), &subject("\"redis\"")).unwrap();
        assert!(said.starts_with("[kafka.events]: "), "{said}");
        assert!(
            said.contains("is launched without Kafka, so that there is no {kafka.brokers}"),
            "{said}"
        );
        assert!(said.contains("needs = [\"kafka\"]"), "{said}");
        assert_eq!(refusal(&workload(""), &subject("\"kafka\"")), None);
        let told = workload("brokers = \"127.0.0.1:9092\"\ntopic = \"events\"\ngroup = \"{namespace}\"");
        assert_eq!(refusal(&told, &subject("")), None);
    }

    #[test]
    fn a_backlog_is_told_in_words_whether_it_was_worked_off_or_not() {
        let report = BacklogReport {
            messages: 20_000,
            acknowledged: 20_000,
            worked_off: 15_000,
            produced_s: 0.5,
            took_s: 60.0,
            reasons: BTreeMap::new(),
        };
        assert_eq!(
            said(&report),
            "15,000 of 20,000 messages worked off in 60.0 s (250/s), produced in 0.5 s"
        );
        let rates = metrics_of_backlogs(&[("events".to_owned(), report)].into());
        let of = |metric: &metrics::Metric| rates[metric.name()];
        assert!((of(&metrics::KAFKA_THROUGHPUT_MSGS_PER_S) - 250.0).abs() < 1e-9);
        assert!((of(&metrics::KAFKA_PRODUCED_MSGS_PER_S) - 40_000.0).abs() < 1e-9);
        assert!(metrics_of_backlogs(&BTreeMap::new()).is_empty());
    }
}
