//! A part of the clients: who subscribed to what, and what each gets of a batch of events.
//!
//! Clients that subscribed alike are a class. An event is looked up by its driver and in the classes that name none, so
//! that its cost grows with those who get it and not with those who are there; a frame is written once for its class.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::event::{Batch, LiveEvent};
use super::history::{History, Lost, Past};
use super::position::Position;
use super::protocol::{Close, ToClient, events_frame};
use super::queue::{ClientQueue, Frame};
use super::subscription::Subscription;
use crate::domain::events::EventName;
use crate::domain::ids::DriverId;
use crate::metrics::LiveMetrics;

/// Batches and orders that wait for a shard; beyond it whoever brings them waits, and Kafka keeps the events.
const INBOX: usize = 256;
/// The one timer of all clients of a shard.
const TICK: Duration = Duration::from_secs(1);
/// Events that a class holds for merging, at most: then they go out early.
const HELD_MAX: usize = 10_000;
/// How long a client that is ahead of this replica waits for it: another has shown it more.
const AHEAD_MAX: Duration = Duration::from_secs(5);
/// Frames of the past that are kept for the next who comes back to the same place with the same subscription.
const PASTS_MAX: usize = 64;
/// A frame ends behind the event that passes this. The library keeps a buffer of the size of its largest frame for each
/// client.
const FRAME_BYTES: usize = 8 * 1024;

/// What a client asks of its shard.
#[derive(Debug)]
pub(super) struct Subscribing {
    pub(super) client: u64,
    pub(super) subscription: Subscription,
    pub(super) position: Option<Position>,
}

/// What a shard is told.
#[derive(Debug)]
pub(super) enum Order {
    Join(u64, Arc<ClientQueue>),
    Subscribe(Subscribing),
    LeaveClass(u64),
    Leave(u64),
    Deliver(Arc<Batch>),
    /// The topic is another one, of which this is known.
    Restart(Box<History>),
    /// Every client is told to come back later.
    Stop,
}

/// Tells a shard.
#[derive(Debug, Clone)]
pub(super) struct ShardHandle(mpsc::Sender<Order>);

impl ShardHandle {
    pub(super) async fn order(&self, order: Order) {
        // A shard that has ended has told its clients so.
        let _ended = self.0.send(order).await;
    }

    pub(super) async fn subscribe(&self, wish: Subscribing) {
        self.order(Order::Subscribe(wish)).await;
    }

    pub(super) async fn leave_class(&self, client: u64) {
        self.order(Order::LeaveClass(client)).await;
    }

    pub(super) async fn leave(&self, client: u64) {
        self.order(Order::Leave(client)).await;
    }
}

/// What holds for all clients.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) ping: Duration,
    pub(super) slow: Duration,
    /// What a client's queue holds: a longer past is not told.
    pub(super) queue_bytes: usize,
    pub(super) metrics: LiveMetrics,
}

struct Client {
    queue: Arc<ClientQueue>,
    class: Option<usize>,
    /// The last position that it was told of without events.
    told: Option<Arc<Position>>,
}

struct Class {
    subscription: Arc<Subscription>,
    members: HashSet<u64>,
    held: Held,
}

/// Events that wait for others of their driver and kind.
#[derive(Default)]
struct Held {
    newest: BTreeMap<(DriverId, EventName), (Arc<LiveEvent>, u64)>,
    due: Option<Instant>,
}

struct Parked {
    wish: Subscribing,
    from: Position,
    until: Instant,
}

/// A shard's state; its task owns it.
pub(super) struct Shard {
    rules: Rules,
    history: History,
    /// That of the history, shared by the clients that were told of it.
    end: Arc<Position>,
    clients: HashMap<u64, Client>,
    classes: HashMap<usize, Class>,
    by_subscription: HashMap<Arc<Subscription>, usize>,
    by_driver: HashMap<DriverId, Vec<usize>>,
    /// Classes that name no driver.
    broad: Vec<usize>,
    /// When classes that hold events let them go.
    dues: BTreeSet<(Instant, usize)>,
    parked: Vec<Parked>,
    pasts: HashMap<(Arc<Subscription>, Position), Arc<[Frame]>>,
    last_class: usize,
    tick: u64,
    is_stopping: bool,
}

impl Shard {
    /// A shard that knows `history`, and the end by which it is told.
    pub(super) fn new(rules: Rules, history: History) -> (Self, ShardHandle, mpsc::Receiver<Order>) {
        let (sender, orders) = mpsc::channel(INBOX);
        let shard = Self {
            rules,
            end: Arc::new(history.end().clone()),
            history,
            clients: HashMap::new(),
            classes: HashMap::new(),
            by_subscription: HashMap::new(),
            by_driver: HashMap::new(),
            broad: Vec::new(),
            dues: BTreeSet::new(),
            parked: Vec::new(),
            pasts: HashMap::new(),
            last_class: 0,
            tick: 0,
            is_stopping: false,
        };
        (shard, ShardHandle(sender), orders)
    }

    /// Runs until it is told to stop and its clients have left, or nobody is left who could tell it anything.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.dues.first().map(|(due, _)| *due);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                _ = ticks.tick() => self.look_after_clients(),
                () = until(due) => self.flush_due(),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            // Let in before the stop, and here after it.
            Order::Join(_, queue) if self.is_stopping => queue.close(Close::Restart),
            Order::Join(client, queue) => {
                let client_state = Client {
                    queue,
                    class: None,
                    told: None,
                };
                self.clients.insert(client, client_state);
            }
            Order::Subscribe(wish) => self.subscribe(wish),
            Order::LeaveClass(client) => {
                self.leave_class(client);
                self.tell(client, &ToClient::Unsubscribed {});
            }
            Order::Leave(client) => {
                self.leave_class(client);
                self.clients.remove(&client);
            }
            Order::Deliver(batch) => self.deliver(&batch),
            Order::Restart(history) => self.restart(*history),
            Order::Stop => {
                self.is_stopping = true;
                self.clients
                    .values()
                    .for_each(|client| client.queue.close(Close::Restart));
            }
        }
    }

    fn tell(&self, client: u64, message: &ToClient<'_>) {
        if let Some(client) = self.clients.get(&client) {
            client.queue.push(Frame::notice(message.text()));
        }
    }

    /// What was before ends; then, from a position on, the past; then what happens.
    fn subscribe(&mut self, wish: Subscribing) {
        self.leave_class(wish.client);
        let Some(from) = wish.position.clone() else {
            return self.begin(wish, None);
        };
        match self.history.since(&from) {
            Past::Missed(events) => {
                let frames = self.past(&wish.subscription, &from, &events);
                if frames.iter().map(|frame| frame.text.len()).sum::<usize>() > self.rules.queue_bytes {
                    return self.reload(wish, Lost::TooMuch);
                }
                self.rules.metrics.resumed("replayed");
                self.begin(wish, Some(&frames));
            }
            Past::Ahead => {
                let until = Instant::now() + AHEAD_MAX;
                self.parked.push(Parked { wish, from, until });
            }
            Past::Lost(lost) => self.reload(wish, lost),
        }
    }

    fn reload(&mut self, wish: Subscribing, lost: Lost) {
        let (outcome, reason) = match lost {
            Lost::Epoch => ("reload_epoch", "the stream of events was begun anew"),
            Lost::TooOld => ("reload_too_old", "more has happened than is kept"),
            Lost::TooMuch => ("reload_too_much", "more has happened than can be sent at once"),
        };
        self.rules.metrics.resumed(outcome);
        let position = self.history.end().to_string();
        let position = &position;
        self.tell(wish.client, &ToClient::Reload { reason, position });
        self.begin(wish, None);
    }

    /// Frames of the past, shared by all who come back to the same place.
    fn past(&mut self, subscription: &Subscription, from: &Position, events: &[Arc<LiveEvent>]) -> Arc<[Frame]> {
        let key = (Arc::new(subscription.clone()), from.clone());
        if let Some(known) = self.pasts.get(&key) {
            return Arc::clone(known);
        }
        let mine = events.iter().filter(|event| subscription.matches(event));
        let frames: Vec<Frame> = if subscription.coalesce_ms > 0 {
            let mut held = Held::default();
            mine.for_each(|event| held.add(event));
            held.frame(&self.end).into_iter().collect()
        } else {
            let mine: Vec<&LiveEvent> = mine.map(|event| &**event).collect();
            frames(from, &mine, &self.end)
        };
        let frames: Arc<[Frame]> = frames.into();
        if self.pasts.len() < PASTS_MAX {
            self.pasts.insert(key, Arc::clone(&frames));
        }
        frames
    }

    /// The client is told that its subscription holds, and gets the past before anything else.
    fn begin(&mut self, wish: Subscribing, past: Option<&[Frame]>) {
        let Some(client) = self.clients.get_mut(&wish.client) else {
            return;
        };
        past.into_iter()
            .flatten()
            .for_each(|frame| client.queue.push(frame.clone()));
        let position = self.end.to_string();
        let message = ToClient::Subscribed { position: &position };
        client.queue.push(Frame::notice(message.text()));
        client.told = Some(Arc::clone(&self.end));
        self.join_class(wish.client, wish.subscription);
    }

    fn join_class(&mut self, client: u64, subscription: Subscription) {
        let number = self.class_of(subscription);
        if let (Some(class), Some(client_state)) = (self.classes.get_mut(&number), self.clients.get_mut(&client)) {
            class.members.insert(client);
            client_state.class = Some(number);
        }
    }

    fn class_of(&mut self, subscription: Subscription) -> usize {
        if let Some(known) = self.by_subscription.get(&subscription) {
            return *known;
        }
        self.last_class += 1;
        let (number, subscription) = (self.last_class, Arc::new(subscription));
        match &subscription.drivers {
            None => self.broad.push(number),
            Some(drivers) => {
                for driver in drivers {
                    self.by_driver.entry(*driver).or_default().push(number);
                }
            }
        }
        self.by_subscription.insert(Arc::clone(&subscription), number);
        let class = Class {
            subscription,
            members: HashSet::new(),
            held: Held::default(),
        };
        self.classes.insert(number, class);
        number
    }

    fn leave_class(&mut self, client: u64) {
        self.parked.retain(|parked| parked.wish.client != client);
        let Some(number) = self.clients.get_mut(&client).and_then(|client| client.class.take()) else {
            return;
        };
        let Some(class) = self.classes.get_mut(&number) else {
            return;
        };
        class.members.remove(&client);
        if class.members.is_empty() {
            self.remove_class(number);
        }
    }

    fn remove_class(&mut self, number: usize) {
        let Some(class) = self.classes.remove(&number) else {
            return;
        };
        if let Some(due) = class.held.due {
            self.dues.remove(&(due, number));
        }
        self.by_subscription.remove(&class.subscription);
        self.broad.retain(|other| *other != number);
        for driver in class.subscription.drivers.iter().flatten() {
            if let Some(classes) = self.by_driver.get_mut(driver) {
                classes.retain(|other| *other != number);
                if classes.is_empty() {
                    self.by_driver.remove(driver);
                }
            }
        }
    }

    fn deliver(&mut self, batch: &Batch) {
        let mut shown: BTreeMap<usize, Vec<&LiveEvent>> = BTreeMap::new();
        for event in &batch.events {
            self.history.push(Arc::clone(event));
            let named = self.by_driver.get(&event.driver).into_iter().flatten();
            for number in named.chain(&self.broad) {
                let Some(class) = self
                    .classes
                    .get_mut(number)
                    .filter(|class| class.subscription.matches(event))
                else {
                    continue;
                };
                if class.subscription.coalesce_ms > 0 {
                    class.held.add(event);
                    self.dues
                        .extend(class.held.due(class.subscription.coalesce_ms).map(|due| (due, *number)));
                } else {
                    shown.entry(*number).or_default().push(event);
                }
            }
        }
        self.history.advance(&batch.position);
        let before = std::mem::replace(&mut self.end, Arc::new(batch.position.clone()));
        self.pasts.clear();
        for (number, events) in shown {
            for frame in frames(&before, &events, &batch.position) {
                self.send(number, &frame);
            }
        }
        self.flush_due();
        self.unpark();
    }

    fn send(&self, number: usize, frame: &Frame) {
        let members = self.classes.get(&number).into_iter().flat_map(|class| &class.members);
        for client in members.filter_map(|client| self.clients.get(client)) {
            client.queue.push(frame.clone());
        }
    }

    fn flush_due(&mut self) {
        let now = Instant::now();
        while let Some((due, number)) = self.dues.first().copied().filter(|(due, _)| *due <= now) {
            self.dues.remove(&(due, number));
            let held = self
                .classes
                .get_mut(&number)
                .map(|class| std::mem::take(&mut class.held));
            if let Some(frame) = held.and_then(|held| held.frame(&self.end)) {
                self.send(number, &frame);
            }
        }
    }

    /// Clients that were ahead of this replica go on when it has caught up.
    fn unpark(&mut self) {
        let now = Instant::now();
        for Parked { wish, from, until } in std::mem::take(&mut self.parked) {
            if matches!(self.history.since(&from), Past::Ahead) && until > now {
                self.parked.push(Parked { wish, from, until });
            } else if until > now {
                self.subscribe(wish);
            } else {
                // Another replica cannot have shown what does not come: the topic was cut short.
                self.reload(wish, Lost::Epoch);
            }
        }
    }

    fn restart(&mut self, history: History) {
        self.end = Arc::new(history.end().clone());
        self.history = history;
        self.pasts.clear();
        let position = self.end.to_string();
        let reason = "the stream of events was begun anew";
        let frame = Frame::notice(
            ToClient::Reload {
                reason,
                position: &position,
            }
            .text(),
        );
        self.clients
            .values()
            .for_each(|client| client.queue.push(frame.clone()));
    }

    /// A part of the clients at each tick, so that all of them are asked within the period, and none of them wakes with
    /// the others.
    fn look_after_clients(&mut self) {
        self.tick += 1;
        let period = self.rules.ping.as_secs().max(1);
        let text = self.end.to_string();
        let frame = Frame::notice(ToClient::Position { position: &text }.text());
        for (number, client) in &mut self.clients {
            if let Some(why) = client.queue.overdue(self.rules.slow, self.rules.ping * 2 + TICK) {
                client.queue.close(why);
            } else if (number + self.tick).is_multiple_of(period) {
                // A class that holds events is not here yet, as far as its members have seen.
                let class = client.class.and_then(|class| self.classes.get(&class));
                let is_here = class.is_some_and(|class| class.held.newest.is_empty());
                if is_here && client.told.as_ref() != Some(&self.end) {
                    client.told = Some(Arc::clone(&self.end));
                    client.queue.push(frame.clone());
                }
                client.queue.ping();
            }
        }
        self.unpark();
    }
}

/// Events in frames, each with the position of a client that has got it and those before it, so that one that goes away
/// in between goes on there. The client was at `from`, and is at `end` with the last of them.
fn frames(from: &Position, events: &[&LiveEvent], end: &Position) -> Vec<Frame> {
    let (mut frames, mut some, mut bytes, mut position) = (Vec::new(), Vec::new(), 0, None);
    for (place, event) in events.iter().enumerate() {
        bytes += event.json.len();
        some.push(*event);
        if place + 1 == events.len() {
            frames.push(frame(&some, end));
        } else if bytes > FRAME_BYTES {
            let here = position.get_or_insert_with(|| from.clone());
            for event in &some {
                here.pass(event.partition, event.offset);
            }
            frames.push(frame(&some, here));
            some.clear();
            bytes = 0;
        }
    }
    frames
}

fn frame(events: &[&LiveEvent], position: &Position) -> Frame {
    let text = events_frame(events.iter().map(|event| (*event, 1)), position);
    Frame {
        text: text.into(),
        events: events.len() as u64,
        at_ms: events.iter().filter_map(|event| event.at_ms).min(),
    }
}

impl Held {
    fn add(&mut self, event: &Arc<LiveEvent>) {
        let newest = self.newest.entry((event.driver, event.name));
        let (held, stands_for) = newest.or_insert_with(|| (Arc::clone(event), 0));
        *held = Arc::clone(event);
        *stands_for += 1;
    }

    /// When the events go, if that is news: the first of them sets the time, and too many end it.
    fn due(&mut self, after_ms: u64) -> Option<Instant> {
        if self.due.is_none() {
            self.due = Some(Instant::now() + Duration::from_millis(after_ms));
            return self.due;
        }
        (self.newest.len() == HELD_MAX).then(Instant::now)
    }

    /// Everything that is held, in the order in which it was read; `None` when that is nothing.
    fn frame(self, position: &Position) -> Option<Frame> {
        if self.newest.is_empty() {
            return None;
        }
        let events = self.newest.values().map(|(event, stands_for)| (&**event, *stands_for));
        Some(Frame {
            text: events_frame(events, position).into(),
            events: self.newest.len() as u64,
            at_ms: None,
        })
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Next;
    use super::*;
    use crate::live::history::tests::{event, position};
    use crate::live::subscription::{Scope, Wish};
    use crate::metrics::Metrics;

    const QUEUE_BYTES: usize = 1024 * 1024;

    fn shard(start: &str, history: usize) -> Shard {
        let rules = Rules {
            ping: Duration::from_secs(1),
            slow: Duration::from_secs(1),
            queue_bytes: QUEUE_BYTES,
            metrics: Metrics::default().live,
        };
        Shard::new(rules, History::new(position(start), history)).0
    }

    fn join(shard: &mut Shard, client: u64) -> Arc<ClientQueue> {
        let queue = ClientQueue::new(QUEUE_BYTES, shard.rules.metrics.clone());
        shard.obey(Order::Join(client, Arc::clone(&queue)));
        queue
    }

    fn subscribe(shard: &mut Shard, client: u64, wish: &str) {
        let wish: Wish = serde_json::from_str(wish).expect("a wish");
        let subscription = Subscription::of(&wish, Scope::All).expect("granted");
        let position = wish.position.map(|text| position(&text));
        shard.obey(Order::Subscribe(Subscribing {
            client,
            subscription,
            position,
        }));
    }

    /// Events of driver 1 at these offsets of partition 0.
    fn deliver(shard: &mut Shard, offsets: std::ops::Range<i64>) {
        let mut end = shard.history.end().clone();
        end.next[0] = offsets.end;
        let events = offsets.map(|offset| event(1, 0, offset)).collect();
        shard.obey(Order::Deliver(Arc::new(Batch { events, position: end })));
    }

    /// Everything that waits, as text.
    async fn texts(queue: &ClientQueue) -> Vec<String> {
        queue.ping();
        let mut texts = Vec::new();
        while let Next::Frames(frames) = queue.next().await {
            texts.extend(frames.iter().map(|frame| frame.text.to_string()));
        }
        texts
    }

    fn position_in(text: &str) -> Position {
        let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
        position(message["position"].as_str().expect("a position"))
    }

    /// The offsets of the events in a frame.
    fn offsets_in(text: &str) -> Vec<i64> {
        let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let events = message["events"].as_array().into_iter().flatten();
        let offset = |event: &serde_json::Value| event["at"].as_str()?.strip_prefix("0:")?.parse().ok();
        events.map(|event| offset(event).expect("an offset")).collect()
    }

    /// 1. A client comes back that has missed more than one frame holds. 2. It goes away after the first of them.
    /// 3. With the position of that frame it gets the rest, and nothing twice.
    #[tokio::test]
    async fn a_client_that_goes_away_in_its_past_goes_on_there() {
        let mut shard = shard("1.0", 10_000);
        deliver(&mut shard, 0..2_000);
        let queue = join(&mut shard, 1);
        subscribe(&mut shard, 1, r#"{"position": "1.10"}"#);
        let all = texts(&queue).await;
        let whole: Vec<i64> = all.iter().flat_map(|text| offsets_in(text)).collect();
        assert_eq!(whole, (10..2_000).collect::<Vec<_>>());
        assert!(all.len() > 3 && position_in(&all[all.len() - 2]) == position("1.2000"));
        let position = position_in(&all[0]);
        subscribe(&mut shard, 1, &format!(r#"{{"position": "{position}"}}"#));
        let rest = texts(&queue).await;
        let rest = rest.iter().flat_map(|text| offsets_in(text));
        let whole: Vec<i64> = offsets_in(&all[0]).into_iter().chain(rest).collect();
        assert_eq!(whole, (10..2_000).collect::<Vec<_>>());
    }

    /// A batch that does not fit into one frame is cut in the same way.
    #[tokio::test]
    async fn a_client_that_goes_away_in_a_batch_goes_on_there() {
        let mut shard = shard("1.0", 10_000);
        let queue = join(&mut shard, 1);
        subscribe(&mut shard, 1, "{}");
        deliver(&mut shard, 0..500);
        let all = texts(&queue).await;
        assert!(all.len() > 2, "the answer and frames");
        let last = offsets_in(&all[1]).pop().expect("events");
        assert_eq!(position_in(&all[1]), position(&format!("1.{}", last + 1)));
        let whole: Vec<i64> = all.iter().flat_map(|text| offsets_in(text)).collect();
        assert_eq!(whole, (0..500).collect::<Vec<_>>());
    }

    /// 1. Another replica has shown the client more than this one has read. 2. This one catches up: the client gets
    ///    what
    /// comes after, and not what it has.
    #[tokio::test]
    async fn a_client_ahead_of_this_replica_waits_for_it() {
        let mut shard = shard("1.0", 100);
        deliver(&mut shard, 0..5);
        let queue = join(&mut shard, 1);
        subscribe(&mut shard, 1, r#"{"position": "1.8"}"#);
        assert_eq!(texts(&queue).await, [""; 0]);
        deliver(&mut shard, 5..7);
        assert_eq!(texts(&queue).await, [""; 0]);
        deliver(&mut shard, 7..10);
        let texts = texts(&queue).await;
        assert!(
            texts[0].contains("\"0:8\"") && !texts[0].contains("\"0:7\""),
            "{texts:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_ahead_of_what_ever_comes_is_told_to_load_anew() {
        let mut shard = shard("1.0", 100);
        let queue = join(&mut shard, 1);
        subscribe(&mut shard, 1, r#"{"position": "1.8"}"#);
        tokio::time::advance(AHEAD_MAX + TICK).await;
        shard.look_after_clients();
        let texts = texts(&queue).await;
        assert!(
            texts[0].contains("\"reload\"") && texts[1].contains("\"subscribed\""),
            "{texts:?}"
        );
    }

    #[tokio::test]
    async fn equal_subscriptions_share_a_frame_and_nothing_is_left_of_those_who_left() {
        let mut shard = shard("1.0", 100);
        let queues: Vec<_> = (1..=3).map(|client| join(&mut shard, client)).collect();
        subscribe(&mut shard, 1, r#"{"drivers": [1, 2]}"#);
        subscribe(&mut shard, 2, r#"{"drivers": [2, 1]}"#);
        subscribe(&mut shard, 3, r#"{"drivers": [2]}"#);
        assert_eq!(shard.classes.len(), 2);
        deliver(&mut shard, 0..2);
        let mut frames = Vec::new();
        for queue in &queues[..2] {
            let Next::Frames(mut waiting) = queue.next().await else {
                panic!("nothing waits");
            };
            frames.push(waiting.pop().expect("events"));
        }
        assert_eq!(frames[0].text.as_ptr(), frames[1].text.as_ptr(), "one copy");
        assert_eq!(texts(&queues[2]).await.len(), 1, "the answer alone");
        (1..=3).for_each(|client| shard.obey(Order::Leave(client)));
        assert!(shard.classes.is_empty() && shard.by_subscription.is_empty() && shard.by_driver.is_empty());
        assert!(shard.clients.is_empty() && shard.broad.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn held_events_go_when_they_are_due_and_no_position_passes_them() {
        let mut shard = shard("1.0", 100);
        let queue = join(&mut shard, 1);
        subscribe(&mut shard, 1, r#"{"coalesce_ms": 500}"#);
        deliver(&mut shard, 0..3);
        assert_eq!(texts(&queue).await.len(), 1, "the answer alone");
        shard.look_after_clients();
        shard.look_after_clients();
        assert_eq!(
            texts(&queue).await,
            [""; 0],
            "a position would say that they were shown"
        );
        tokio::time::advance(Duration::from_millis(500)).await;
        shard.flush_due();
        let texts = texts(&queue).await;
        assert!(
            texts[0].contains("\"merged\":3") && position_in(&texts[0]) == position("1.3"),
            "{texts:?}"
        );
        assert!(shard.dues.is_empty());
    }
}
