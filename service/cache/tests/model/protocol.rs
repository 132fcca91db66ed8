//! The model: what each part of the protocol does in one step that nothing can interrupt. Everything between two steps
//! may be interrupted by any other step.

/// The two replicas, and the two tags that the one key depends on.
const TWO: usize = 2;

/// Which guards stand. Each `false` is a mistake that an implementation could make.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each guard is removed on its own")]
pub(crate) struct Guards {
    /// The local stamp is taken before anything is read, not when L1 is filled.
    pub(crate) stamp_first: bool,
    /// A flight is joined only if its stamp is current.
    pub(crate) join_check: bool,
    /// The generations that an entry is stored under are read before the load, not after.
    pub(crate) nonces_before_load: bool,
    /// An entry in Redis is valid only under the current generations.
    pub(crate) nonce_check: bool,
    /// An invalidation goes to Redis before the own stamps are bumped.
    pub(crate) redis_first: bool,
    /// After a failed invalidation, Redis is not asked for its tags.
    pub(crate) bypass: bool,
    /// Gaps are filled from the log.
    pub(crate) log_replay: bool,
    /// L1 is served only under a lease.
    pub(crate) lease: bool,
    /// Committed invalidations are relayed out of an outbox.
    pub(crate) outbox: bool,
    /// A server that was started anew is recognised, and everything in it invalidated.
    pub(crate) renewal: bool,
    /// A heartbeat writes as an invalidation does, so that a Redis that refuses writes sends none back.
    pub(crate) beat_writes: bool,
    /// A connection is given up when Redis refuses a write, and another is used only after it took one.
    pub(crate) refusal_unlinks: bool,
    /// Without a lease, a flight that began two seconds ago is not joined, whatever its stamp.
    pub(crate) join_young: bool,
    /// Each replica applies to itself what it finds unconfirmed in the outbox.
    pub(crate) look: bool,
    /// An entry is stored only if its generations are still current.
    pub(crate) conditional_store: bool,
}

impl Guards {
    pub(crate) const ALL: Self = Self {
        stamp_first: true,
        join_check: true,
        nonces_before_load: true,
        nonce_check: true,
        redis_first: true,
        bypass: true,
        log_replay: true,
        lease: true,
        outbox: true,
        renewal: true,
        beat_writes: true,
        refusal_unlinks: true,
        join_young: true,
        look: true,
        conditional_store: true,
    };

    /// The first build: it knew nothing of a Redis that answers and refuses.
    pub(crate) const FIRST_BUILD: Self = Self {
        beat_writes: false,
        refusal_unlinks: false,
        join_young: false,
        look: false,
        ..Self::ALL
    };

    /// A cache without an outbox: only the writer's process knows what Redis did not take.
    pub(crate) const WITHOUT_OUTBOX: Self = Self {
        outbox: false,
        look: false,
        ..Self::ALL
    };
}

/// How often each thing may happen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) writes: u8,
    pub(crate) reads: u8,
    pub(crate) losses: u8,
    pub(crate) lease_ends: u8,
    pub(crate) crashes: u8,
    pub(crate) failures: u8,
    pub(crate) evictions: u8,
    pub(crate) cuts: u8,
    pub(crate) backups: u8,
    pub(crate) restarts: u8,
    /// Redis begins to refuse the writes of one replica.
    pub(crate) refusals_for_one: u8,
    /// Redis begins to refuse the writes of both.
    pub(crate) refusals_for_all: u8,
    /// It takes writes again.
    pub(crate) acceptances: u8,
    /// Two seconds pass: all that the protocol does on its timers has been done.
    pub(crate) ticks: u8,
    /// A replica looks into the outbox at another moment than a tick.
    pub(crate) looks: u8,
}

type Nonces = [Option<u8>; TWO];
/// Life and number.
type Place = (u8, u8);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Redis {
    run_seen: u8,
    life: u8,
    seq: u8,
    nonces: Nonces,
    /// Version, and the generations it was stored under.
    entry: Option<(u8, [u8; TWO])>,
    /// Number, tag (`None`: all) and version of each invalidation in this life.
    log: Vec<(u8, Option<usize>, u8)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    Invalidation { place: Place, origin: usize, version: u8 },
    Heartbeat(Place),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// The entry and the generations, in one script.
    LookInL2,
    Load,
    Store,
    Fill,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Flight {
    phase: Phase,
    /// Whether the stamp it took is still where the replica's counters are. Counters only grow, so a stamp that is not
    /// current never becomes so again, and nothing else about it matters.
    current: bool,
    /// It began before the last tick.
    old: bool,
    nonces: Option<[u8; TWO]>,
    version: u8,
    /// What its replica had processed when its latest client joined.
    floor: u8,
    /// Whether clients find it.
    listed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "lease, subscription and link come and go on their own"
)]
struct Replica {
    /// The version, while its stamp is current.
    l1: Option<u8>,
    flights: Vec<Flight>,
    leased: bool,
    /// Subscribed, and caught up since.
    connected: bool,
    subscribed: bool,
    /// Has a connection for commands whose server was looked at.
    linked: bool,
    last: Place,
    queue: Vec<Message>,
    bypass: [bool; TWO],
    /// The newest version whose invalidation was applied here.
    processed: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Progress {
    Committed,
    /// The first of the two: Redis, then the own stamps (or the other way round without that guard).
    HalfDone {
        failed: bool,
    },
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Write {
    version: u8,
    replica: usize,
    tag: usize,
    progress: Progress,
    /// Its row in the outbox.
    done: bool,
    /// Which replicas have found the row there, and applied it.
    found: [bool; TWO],
}

/// Everything at one moment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    budget: Budget,
    version: u8,
    redis: Redis,
    /// What a restart brings back.
    backup: Redis,
    run: u8,
    fresh: u8,
    /// Whose writes Redis refuses; it answers reads, and delivers messages.
    refuses: [bool; TWO],
    /// The newest version that was committed two seconds ago: no read that starts now may get an older one.
    settled: u8,
    replicas: [Replica; TWO],
    writes: Vec<Write>,
}

/// One thing that can happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Read(usize),
    Fly(usize, usize),
    Commit {
        replica: usize,
        tag: usize,
    },
    /// The next step of a write.
    Write(usize),
    /// The script of a write fails; it may have been carried out all the same.
    ScriptFails {
        write: usize,
        carried_out: bool,
    },
    WriterCrashes(usize),
    Relay {
        write: usize,
        by: usize,
    },
    Repeat(usize),
    Receive(usize),
    Lose(usize),
    Heartbeat(usize),
    LeaseEnds(usize),
    CutOff(usize),
    Subscribe(usize),
    CatchUp(usize),
    EvictEntry,
    EvictNonce(usize),
    EvictLog,
    BackUp,
    Restart,
    Link(usize),
    /// Of one replica, or of all.
    RefuseWrites(Option<usize>),
    AcceptWrites,
    Look(usize),
    Tick,
}

type Checked = Result<(), String>;

impl State {
    pub(crate) fn start(budget: Budget) -> Self {
        let redis = Redis {
            run_seen: 0,
            life: 0,
            seq: 0,
            nonces: [None; TWO],
            entry: None,
            log: Vec::new(),
        };
        let replica = Replica {
            l1: None,
            flights: Vec::new(),
            leased: true,
            connected: true,
            subscribed: true,
            linked: true,
            last: (0, 0),
            queue: Vec::new(),
            bypass: [false; TWO],
            processed: 0,
        };
        Self {
            budget,
            version: 0,
            backup: redis.clone(),
            redis,
            run: 0,
            fresh: 0,
            refuses: [false; TWO],
            settled: 0,
            replicas: [replica.clone(), replica],
            writes: Vec::new(),
        }
    }

    /// All that can happen now.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for replica in 0..TWO {
            self.steps_of(replica, &mut steps);
        }
        self.steps_of_writes(&mut steps);
        if self.budget.evictions > 0 {
            steps.extend([
                Step::EvictEntry,
                Step::EvictNonce(0),
                Step::EvictNonce(1),
                Step::EvictLog,
            ]);
        }
        self.steps_of_refusals(&mut steps);
        if self.budget.backups > 0 {
            steps.push(Step::BackUp);
        } else if self.budget.restarts > 0 {
            steps.push(Step::Restart);
        }
        steps
    }

    fn steps_of_refusals(&self, steps: &mut Vec<Step>) {
        let refuses = self.refuses.contains(&true);
        if self.budget.refusals_for_one > 0 && !refuses {
            // The other one would be the same with the names exchanged.
            steps.push(Step::RefuseWrites(Some(0)));
        }
        if self.budget.refusals_for_all > 0 && !refuses {
            steps.push(Step::RefuseWrites(None));
        }
        if self.budget.acceptances > 0 && refuses {
            steps.push(Step::AcceptWrites);
        }
        if self.budget.ticks > 0 {
            steps.push(Step::Tick);
        }
        if self.budget.looks > 0 {
            let is_new = |number: &usize| self.writes.iter().any(|write| !write.done && !write.found[*number]);
            steps.extend((0..TWO).filter(is_new).map(Step::Look));
        }
    }

    fn steps_of(&self, number: usize, steps: &mut Vec<Step>) {
        let replica = &self.replicas[number];
        if self.budget.reads > 0 {
            steps.push(Step::Read(number));
        }
        steps.extend((0..replica.flights.len()).map(|flight| Step::Fly(number, flight)));
        if !replica.queue.is_empty() && replica.connected {
            steps.push(Step::Receive(number));
            if self.budget.losses > 0 {
                steps.push(Step::Lose(number));
            }
        }
        if replica.connected && replica.linked && replica.queue.is_empty() && !replica.leased {
            steps.push(Step::Heartbeat(number));
        }
        if replica.leased && self.budget.lease_ends > 0 {
            steps.push(Step::LeaseEnds(number));
        }
        if self.budget.cuts > 0 && replica.subscribed {
            steps.push(Step::CutOff(number));
        }
        // A subscriber that is back before the commands are waits for them; what it hears meanwhile, it hears again.
        if !replica.subscribed && replica.linked {
            steps.push(Step::Subscribe(number));
        }
        if replica.subscribed && !replica.connected && replica.linked {
            steps.push(Step::CatchUp(number));
        }
        if !replica.linked {
            steps.push(Step::Link(number));
        }
        if replica.linked && replica.bypass.contains(&true) {
            steps.push(Step::Repeat(number));
        }
    }

    fn steps_of_writes(&self, steps: &mut Vec<Step>) {
        if usize::from(self.budget.writes) > self.writes.len() {
            for replica in 0..TWO {
                // Writes take the tags in turn: which of the two is first makes no difference.
                steps.push(Step::Commit {
                    replica,
                    tag: self.writes.len() % TWO,
                });
            }
        }
        for (number, write) in self.writes.iter().enumerate() {
            if write.progress != Progress::Ended {
                steps.push(Step::Write(number));
            } else if !write.done
                && let Some(by) = (0..TWO).find(|&by| self.replicas[by].linked && !self.refuses[by])
            {
                steps.push(Step::Relay { write: number, by });
            }
            if write.progress == Progress::Committed {
                if self.budget.crashes > 0 {
                    steps.push(Step::WriterCrashes(number));
                }
                if self.budget.failures > 0 {
                    steps.extend([true, false].map(|carried_out| Step::ScriptFails {
                        write: number,
                        carried_out,
                    }));
                }
            }
        }
    }

    /// Drops what can make no difference any more, so that states that differ in nothing else are one.
    fn forget(&mut self) {
        if self.budget.restarts == 0 || self.budget.backups > 0 {
            self.backup = self.redis.clone();
        }
        for flight in self.replicas.iter_mut().flat_map(|replica| &mut replica.flights) {
            if flight.phase == Phase::Fill {
                flight.nonces = None;
            }
        }
    }

    /// Gives generations the smallest names: only whether two are equal matters. Without this, the same state would be
    /// visited once for each way in which names were given out.
    fn rename_nonces(&mut self) {
        let mut names: Vec<u8> = vec![0];
        let mut rename = |nonce: &mut u8| {
            let known = names.iter().position(|name| name == nonce);
            let index = known.unwrap_or_else(|| {
                names.push(*nonce);
                names.len() - 1
            });
            *nonce = u8::try_from(index).expect("few");
        };
        for redis in [&mut self.redis, &mut self.backup] {
            redis.nonces.iter_mut().flatten().for_each(&mut rename);
            if let Some((_, under)) = &mut redis.entry {
                under.iter_mut().for_each(&mut rename);
            }
        }
        let flights = self.replicas.iter_mut().flat_map(|replica| &mut replica.flights);
        flights
            .filter_map(|flight| flight.nonces.as_mut())
            .flatten()
            .for_each(&mut rename);
        self.fresh = u8::try_from(names.len()).expect("few");
    }

    /// Takes one step; an error is a broken promise.
    pub(crate) fn take(&mut self, step: Step, guards: Guards) -> Checked {
        self.do_step(step, guards)?;
        self.would_answer_well(guards)?;
        self.forget();
        self.rename_nonces();
        Ok(())
    }

    fn do_step(&mut self, step: Step, guards: Guards) -> Checked {
        match step {
            Step::Read(replica) => {
                self.budget.reads -= 1;
                return self.read(replica, guards);
            }
            Step::Fly(replica, flight) => return self.fly(replica, flight, guards),
            Step::Commit { replica, tag } => self.commit(replica, tag),
            Step::Write(write) => self.advance(write, guards),
            Step::ScriptFails { write, carried_out } => {
                self.budget.failures -= 1;
                self.fail_script(write, carried_out, guards);
            }
            Step::WriterCrashes(write) => {
                self.budget.crashes -= 1;
                self.writes[write].progress = Progress::Ended;
            }
            Step::Relay { write, by } => self.relay(write, by, guards),
            Step::Repeat(replica) => self.repeat(replica, guards),
            Step::EvictEntry => self.evict(|redis| redis.entry = None),
            Step::EvictNonce(tag) => self.evict(|redis| redis.nonces[tag] = None),
            Step::EvictLog => self.evict(|redis| redis.log.clear()),
            Step::BackUp => {
                self.budget.backups -= 1;
                self.backup = self.redis.clone();
            }
            Step::Restart => self.restart(),
            Step::Link(replica) => self.link(replica, guards),
            Step::RefuseWrites(whose) => self.refuse_writes(whose),
            Step::AcceptWrites => {
                self.budget.acceptances -= 1;
                self.refuses = [false; TWO];
            }
            Step::Look(replica) => {
                self.budget.looks -= 1;
                self.look(replica, guards);
            }
            Step::Tick => self.tick(guards),
            network => self.network(network, guards),
        }
        Ok(())
    }

    fn refuse_writes(&mut self, whose: Option<usize>) {
        if let Some(replica) = whose {
            self.budget.refusals_for_one -= 1;
            self.refuses[replica] = true;
        } else {
            self.budget.refusals_for_all -= 1;
            self.refuses = [true; TWO];
        }
    }

    /// Whether Redis refuses a write of this replica, which then draws its conclusions.
    fn is_refused(&mut self, number: usize, guards: Guards) -> bool {
        if self.refuses[number] && guards.refusal_unlinks {
            self.replicas[number].linked = false;
            self.replicas[number].leased = false;
        }
        self.refuses[number]
    }

    /// Everything that waits for a timer has happened: leases have ended unless a heartbeat renews them, everybody has
    /// tried to send one, and has looked into the outbox. (Each of it also happens alone, at any moment.)
    fn tick(&mut self, guards: Guards) {
        self.budget.ticks -= 1;
        for number in 0..TWO {
            self.replicas[number].leased = false;
            for flight in &mut self.replicas[number].flights {
                flight.old = true;
            }
            // What was sent before would renew a lease that has ended by now.
            self.replicas[number]
                .queue
                .retain(|message| !matches!(message, Message::Heartbeat(_)));
            if guards.beat_writes {
                self.is_refused(number, guards);
            }
            self.look(number, guards);
        }
        self.settled = self.settled_now(guards);
    }

    /// With an outbox every commit counts from its moment; without one, from when its writer was done with it, because
    /// nobody else knows of it.
    fn settled_now(&self, guards: Guards) -> u8 {
        let is_done = |write: &&Write| guards.outbox || write.progress == Progress::Ended;
        let done = self.writes.iter().take_while(is_done);
        done.last().map_or(0, |write| write.version)
    }

    fn look(&mut self, number: usize, guards: Guards) {
        if !guards.outbox || !guards.look {
            return;
        }
        let replica = &mut self.replicas[number];
        for write in self
            .writes
            .iter_mut()
            .filter(|write| !write.done && !write.found[number])
        {
            write.found[number] = true;
            // Before the stamps, as after a failed script.
            replica.bypass[write.tag] = true;
            replica.bump();
            replica.processed = replica.processed.max(write.version);
        }
    }

    fn network(&mut self, step: Step, guards: Guards) {
        match step {
            Step::Receive(replica) => self.receive(replica, guards),
            Step::Lose(replica) => {
                self.budget.losses -= 1;
                self.replicas[replica].queue.remove(0);
            }
            Step::Heartbeat(replica) => {
                if guards.beat_writes && self.is_refused(replica, guards) {
                    return;
                }
                let place = self.place();
                self.replicas[replica].queue.push(Message::Heartbeat(place));
            }
            Step::LeaseEnds(replica) => {
                self.budget.lease_ends -= 1;
                self.replicas[replica].leased = false;
            }
            Step::CutOff(replica) => {
                self.budget.cuts -= 1;
                self.replicas[replica].disconnect();
            }
            Step::Subscribe(replica) => self.replicas[replica].subscribed = true,
            Step::CatchUp(replica) => {
                self.replicas[replica].connected = true;
                self.catch_up(replica, guards);
            }
            _ => unreachable!("taken elsewhere"),
        }
    }

    fn place(&self) -> Place {
        (self.redis.life, self.redis.seq)
    }

    fn new_nonce(&mut self) -> u8 {
        self.fresh += 1;
        self.fresh
    }

    // -- reading -----------------------------------------------------------------------------------------------------

    fn read(&mut self, number: usize, guards: Guards) -> Checked {
        let replica = &mut self.replicas[number];
        let floor = replica.processed.max(self.settled);
        if let Some(version) = replica.l1_answer(guards) {
            return at_least(version, floor, "L1");
        }
        let listed = replica.flights.iter_mut().find(|flight| flight.listed);
        if let Some(flight) = listed {
            let is_told = !flight.old || replica.leased || !guards.join_young;
            if flight.current && is_told || !guards.join_check {
                flight.floor = flight.floor.max(floor);
                return Ok(());
            }
            flight.listed = false;
        }
        let is_twin = |flight: &Flight| flight.current && !flight.old;
        if guards.join_check && replica.flights.iter().any(is_twin) {
            return Err("two flights of one key and stamp".to_owned());
        }
        replica.flights.push(Flight {
            phase: Phase::LookInL2,
            current: true,
            old: false,
            nonces: None,
            version: 0,
            floor,
            listed: true,
        });
        Ok(())
    }

    /// The answer of a read that came now, if nothing came between its steps: out of L1, or of Redis.
    /// So that a search with one read sees what a second would find.
    fn would_answer_well(&self, guards: Guards) -> Checked {
        for replica in &self.replicas {
            let floor = replica.processed.max(self.settled);
            let from_l2 = || self.l2_answer(guards).filter(|_| replica.uses_l2(guards));
            if let Some(version) = replica.l1_answer(guards).or_else(from_l2) {
                at_least(version, floor, "a read that came now")?;
            }
        }
        Ok(())
    }

    fn fly(&mut self, number: usize, index: usize, guards: Guards) -> Checked {
        let mut flight = self.replicas[number].flights[index];
        match flight.phase {
            Phase::LookInL2 => self.look_in_l2(number, &mut flight, guards),
            Phase::Load => {
                flight.version = self.version;
                flight.phase = Phase::Store;
            }
            Phase::Store => {
                self.store(number, &mut flight, guards);
                flight.phase = Phase::Fill;
            }
            Phase::Fill => {
                self.replicas[number].flights.remove(index);
                return self.replicas[number].land(flight, guards);
            }
        }
        self.replicas[number].flights[index] = flight;
        Ok(())
    }

    fn look_in_l2(&mut self, number: usize, flight: &mut Flight, guards: Guards) {
        flight.phase = Phase::Load;
        if !self.replicas[number].uses_l2(guards) {
            return;
        }
        if let Some(version) = self.l2_answer(guards) {
            flight.version = version;
            flight.phase = Phase::Fill;
        } else if !self.is_refused(number, guards) {
            flight.nonces = Some(self.create_nonces());
        }
    }

    fn l2_answer(&self, guards: Guards) -> Option<u8> {
        let (version, under) = self.redis.entry?;
        let is_valid = self.redis.nonces == under.map(Some) || !guards.nonce_check;
        is_valid.then_some(version)
    }

    fn create_nonces(&mut self) -> [u8; TWO] {
        for tag in 0..TWO {
            if self.redis.nonces[tag].is_none() {
                self.redis.nonces[tag] = Some(self.new_nonce());
            }
        }
        self.redis.nonces.map(Option::unwrap_or_default)
    }

    fn store(&mut self, number: usize, flight: &mut Flight, guards: Guards) {
        let Some(mut nonces) = flight.nonces else { return };
        if !self.replicas[number].linked || self.is_refused(number, guards) {
            return;
        }
        if !guards.nonces_before_load {
            nonces = self.create_nonces();
        }
        if self.redis.nonces == nonces.map(Some) || !guards.conditional_store {
            self.redis.entry = Some((flight.version, nonces));
        }
    }

    // -- writing -----------------------------------------------------------------------------------------------------

    fn commit(&mut self, replica: usize, tag: usize) {
        self.version += 1;
        self.writes.push(Write {
            version: self.version,
            replica,
            tag,
            progress: Progress::Committed,
            done: false,
            found: [false; TWO],
        });
    }

    fn advance(&mut self, number: usize, guards: Guards) {
        let Write {
            version,
            replica,
            tag,
            progress,
            ..
        } = self.writes[number];
        let to_redis = matches!(progress, Progress::Committed) == guards.redis_first;
        match progress {
            Progress::Committed => {
                let mut failed = false;
                if to_redis {
                    failed = !self.announce(replica, Some(tag), version, guards);
                } else {
                    self.replicas[replica].bump();
                }
                self.writes[number].progress = Progress::HalfDone { failed };
            }
            Progress::HalfDone { failed } => {
                let failed = failed || (to_redis && !self.announce(replica, Some(tag), version, guards));
                self.finish(number, failed, guards);
            }
            Progress::Ended => {}
        }
    }

    fn finish(&mut self, number: usize, failed: bool, guards: Guards) {
        let Write {
            version, replica, tag, ..
        } = self.writes[number];
        let writer = &mut self.replicas[replica];
        if failed {
            // Before the stamps: who starts with the new stamp must find it.
            writer.bypass[tag] = true;
        }
        if guards.redis_first {
            writer.bump();
        }
        writer.processed = writer.processed.max(version);
        self.writes[number].progress = Progress::Ended;
        self.writes[number].done = !failed;
    }

    fn fail_script(&mut self, number: usize, carried_out: bool, guards: Guards) {
        let Write {
            version, replica, tag, ..
        } = self.writes[number];
        if carried_out {
            self.announce(replica, Some(tag), version, guards);
        }
        self.finish(number, true, guards);
    }

    /// The script of an invalidation; false if there is no connection, or Redis refuses it.
    fn announce(&mut self, origin: usize, tag: Option<usize>, version: u8, guards: Guards) -> bool {
        if !self.replicas[origin].linked || self.is_refused(origin, guards) {
            return false;
        }
        for index in 0..TWO {
            if tag.is_none_or(|tag| tag == index) {
                self.redis.nonces[index] = Some(self.new_nonce());
            }
        }
        self.redis.seq += 1;
        self.redis.log.push((self.redis.seq, tag, version));
        let place = self.place();
        for replica in self.replicas.iter_mut().filter(|replica| replica.subscribed) {
            replica.queue.push(Message::Invalidation { place, origin, version });
        }
        true
    }

    fn relay(&mut self, number: usize, by: usize, guards: Guards) {
        let Write { version, tag, .. } = self.writes[number];
        if guards.outbox {
            if !self.announce(by, Some(tag), version, guards) {
                return;
            }
            self.replicas[by].applied_own(tag, version);
        }
        self.writes[number].done = true;
    }

    fn repeat(&mut self, number: usize, guards: Guards) {
        for tag in 0..TWO {
            let version = self.version;
            if self.replicas[number].bypass[tag] && self.announce(number, Some(tag), version, guards) {
                self.replicas[number].applied_own(tag, version);
            }
        }
    }

    // -- the network -------------------------------------------------------------------------------------------------

    fn receive(&mut self, number: usize, guards: Guards) {
        match self.replicas[number].queue.remove(0) {
            Message::Invalidation { place, origin, version } => {
                let replica = &mut self.replicas[number];
                let follows = place.0 == replica.last.0 && place.1 == replica.last.1 + 1;
                let known = place.0 == replica.last.0 && place.1 <= replica.last.1;
                if follows || (!guards.log_replay && !known) {
                    replica.last = place;
                    if origin != number {
                        replica.bump();
                        replica.processed = replica.processed.max(version);
                    }
                } else if !known {
                    self.catch_up(number, guards);
                }
            }
            Message::Heartbeat(place) => {
                if place != self.replicas[number].last {
                    self.catch_up(number, guards);
                }
                let replica = &mut self.replicas[number];
                replica.leased = replica.connected;
            }
        }
    }

    fn catch_up(&mut self, number: usize, guards: Guards) {
        let (life, seq) = self.place();
        let log = self.redis.log.clone();
        let replica = &mut self.replicas[number];
        if !replica.linked {
            replica.disconnect();
            return;
        }
        if guards.log_replay {
            let missed: Vec<_> = log.iter().filter(|(number, ..)| *number > replica.last.1).collect();
            let is_whole =
                life == replica.last.0 && seq >= replica.last.1 && missed.len() == usize::from(seq - replica.last.1);
            // Without a gap, what was missed is applied now; otherwise everything is given up, whatever it depended on.
            let applied = if is_whole { missed } else { log.iter().collect() };
            if !is_whole || !applied.is_empty() {
                replica.bump();
            }
            let newest = applied.iter().map(|(.., version)| *version).max().unwrap_or(0);
            replica.processed = replica.processed.max(newest);
        }
        replica.last = (life, seq);
    }

    fn evict(&mut self, evict: impl FnOnce(&mut Redis)) {
        self.budget.evictions -= 1;
        evict(&mut self.redis);
    }

    fn restart(&mut self) {
        self.budget.restarts -= 1;
        self.redis = self.backup.clone();
        self.run += 1;
        for replica in &mut self.replicas {
            replica.disconnect();
            replica.linked = false;
        }
    }

    fn link(&mut self, number: usize, guards: Guards) {
        if guards.refusal_unlinks && self.refuses[number] {
            return;
        }
        self.replicas[number].linked = true;
        if guards.renewal && self.redis.run_seen != self.run {
            self.redis.run_seen = self.run;
            // A life is never used twice.
            self.redis.life = self.run;
            self.redis.seq = 0;
            self.redis.log.clear();
            // The newest invalidations may be lost with the data: they are relayed again.
            for write in self.writes.iter_mut().filter(|write| write.progress == Progress::Ended) {
                write.done = false;
                write.found = [false; TWO];
            }
            self.announce(number, None, 0, guards);
        }
    }

    // -- the end -----------------------------------------------------------------------------------------------------

    /// If nothing happens any more but what the protocol does by itself, every replica answers with the newest version.
    pub(crate) fn comes_to_the_newest(&self, guards: Guards) -> Checked {
        let is_busy = self.writes.iter().any(|write| write.progress != Progress::Ended)
            || self.replicas.iter().any(|replica| !replica.flights.is_empty());
        if is_busy {
            return Ok(());
        }
        let mut end = self.clone();
        end.quiesce(guards);
        for replica in &end.replicas {
            let answer = replica
                .l1_answer(guards)
                .or_else(|| end.l2_answer(guards))
                .unwrap_or(end.version);
            at_least(answer, end.version, "the quiet end")?;
        }
        Ok(())
    }

    fn quiesce(&mut self, guards: Guards) {
        self.refuses = [false; TWO];
        for number in 0..TWO {
            if !self.replicas[number].linked {
                self.link(number, guards);
            }
        }
        for number in 0..self.writes.len() {
            if !self.writes[number].done {
                self.relay(number, 0, guards);
            }
        }
        for number in 0..TWO {
            self.repeat(number, guards);
        }
        for number in 0..TWO {
            self.listen_up(number, guards);
        }
    }

    fn listen_up(&mut self, number: usize, guards: Guards) {
        if !self.replicas[number].connected {
            self.replicas[number].subscribed = true;
            self.replicas[number].connected = true;
            self.catch_up(number, guards);
        }
        if guards.lease {
            self.replicas[number].leased = false;
            let place = self.place();
            self.replicas[number].queue.push(Message::Heartbeat(place));
        }
        while !self.replicas[number].queue.is_empty() {
            self.receive(number, guards);
        }
    }
}

impl Replica {
    fn l1_answer(&self, guards: Guards) -> Option<u8> {
        self.l1.filter(|_| self.leased || !guards.lease)
    }

    fn uses_l2(&self, guards: Guards) -> bool {
        self.linked && !(guards.bypass && self.bypass.contains(&true))
    }

    fn land(&mut self, flight: Flight, guards: Guards) -> Checked {
        if flight.current || !guards.stamp_first {
            self.l1 = Some(flight.version);
        }
        at_least(flight.version, flight.floor, "a flight")
    }

    /// An invalidation of either tag, or of everything: the one key depends on all of it.
    fn bump(&mut self) {
        self.l1 = None;
        for flight in &mut self.flights {
            flight.current = false;
        }
    }

    /// An invalidation that was sent from here succeeded.
    fn applied_own(&mut self, tag: usize, version: u8) {
        self.bypass[tag] = false;
        self.bump();
        self.processed = self.processed.max(version);
    }

    fn disconnect(&mut self) {
        self.queue.clear();
        self.leased = false;
        self.connected = false;
        self.subscribed = false;
    }
}

fn at_least(version: u8, floor: u8, where_from: &str) -> Checked {
    if version >= floor {
        return Ok(());
    }
    Err(format!(
        "{where_from} answers with version {version} after {floor} was processed"
    ))
}
