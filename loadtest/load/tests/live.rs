//! Clients of live streams against a real WebSocket server, which makes every fault that a stream can have, on purpose
//! and counted: what is found must be what was done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use load::{Account, Attack, AttackSpec, LoadError, LoadModel, LoadReport, Stop, Target, Watched};
use scenarios::{Schedule, Workload};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

/// Done to one message of one client.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Lost,
    Doubled,
    /// Shown behind the next one.
    Swapped,
    Late(Duration),
    /// The connection is cut instead, and the message waits for the client to come back.
    Cut,
}

/// The client and the message (from 1) to which a server does it.
const AT: (usize, u64) = (3, 5);

/// Messages wait here for one client's socket: one load of half a second makes less than a hundred.
const ROOM: usize = 10_000;

#[derive(Clone)]
struct Server {
    fault: Fault,
    /// Sockets that were let in.
    sockets: Arc<AtomicU64>,
    /// What all handlers share.
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    messages: Vec<Value>,
    /// Of each client, for the numbers of new messages.
    clients: Vec<mpsc::Sender<u64>>,
}

impl Server {
    async fn start(fault: Fault) -> (Self, SocketAddr) {
        let server = Self {
            fault,
            sockets: Arc::default(),
            told: Arc::default(),
        };
        let router = Router::new()
            .route("/notes", post(note))
            .route("/live", get(live))
            .with_state(server.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        (server, address)
    }

    /// Message `number`, from 1.
    fn message(&self, number: u64) -> Value {
        let index = usize::try_from(number - 1).unwrap();
        self.told.lock().unwrap().messages[index].clone()
    }

    fn count(&self) -> u64 {
        self.told.lock().unwrap().messages.len() as u64
    }
}

async fn note(State(server): State<Server>, Json(note): Json<Value>) -> Json<Value> {
    let mut told = server.told.lock().unwrap();
    let id = told.messages.len() as u64 + 1;
    told.messages.push(json!({"id": id, "driver": note["driver"]}));
    told.clients.retain(|client| client.try_send(id).is_ok());
    Json(json!({ "id": id }))
}

async fn live(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    if server.sockets.fetch_add(1, Ordering::Relaxed) >= MOST_SOCKETS {
        return (StatusCode::SERVICE_UNAVAILABLE, "full").into_response();
    }
    upgrade.on_upgrade(move |socket| show(server, socket))
}

/// Shows one client what it watches, from its position on, with the faults that are asked for.
async fn show(server: Server, mut socket: WebSocket) {
    let Some(Ok(Message::Text(wish))) = socket.recv().await else {
        return;
    };
    let wish: Value = serde_json::from_str(&wish).unwrap();
    let client = usize::try_from(wish["client"].as_u64().unwrap()).unwrap();
    let (sender, mut numbers) = mpsc::channel(ROOM);
    let known = {
        let mut told = server.told.lock().unwrap();
        told.clients.push(sender);
        told.messages.len() as u64
    };
    let from = wish["position"]
        .as_str()
        .map_or(known, |position| position.parse().unwrap());
    let first_time = wish["position"].is_null();
    if say(&mut socket, &json!({"type": "watching"})).await.is_err() {
        return;
    }
    let mut behind: Option<u64> = None;
    let mut missed = from + 1..=known;
    loop {
        let number = match missed.next() {
            Some(number) => number,
            None => match numbers.recv().await {
                Some(number) => number,
                None => return,
            },
        };
        if server.message(number)["driver"] != wish["driver"] {
            continue;
        }
        let fault = if (client, number) == AT {
            server.fault
        } else {
            Fault::None
        };
        let mut shown = vec![];
        match fault {
            Fault::Lost => continue,
            Fault::Cut if first_time => return,
            Fault::Swapped => {
                behind = Some(number);
                continue;
            }
            Fault::Late(by) => {
                sleep(by).await;
                shown.push(number);
            }
            Fault::Doubled => shown.extend([number, number]),
            Fault::None | Fault::Cut => shown.push(number),
        }
        shown.extend(behind.take());
        for number in shown {
            let frame = json!({"position": number.to_string(), "events": [server.message(number)]});
            if say(&mut socket, &frame).await.is_err() {
                return;
            }
        }
    }
}

async fn say(socket: &mut WebSocket, frame: &Value) -> Result<(), axum::Error> {
    socket.send(Message::Text(frame.to_string().into())).await
}

const MOST_SOCKETS: u64 = 40;
const CLIENTS: u64 = 20;

/// Two users write about two drivers, and each client watches one of them; `keys` are of the stream.
fn workload(connections: u64, keys: &str) -> Workload {
    let text = format!(
        "measure_s = 0.4\ndrain_s = 1\n[model.closed]\nusers = 2\n[warm_up]\nduration_s = 0.1\n\
         [think_times]\nshort = {{ constant = {{ ms = 10 }} }}\n\
         [feeders]\ndriver = {{ sequence = {{ from = 0 }} }}\nclient = {{ sequence = {{ from = 0 }} }}\n\
         [endpoints.note]\nmethod = \"POST\"\npath = \"/notes\"\nbody = {{ driver = 1 }}\n\
         [journeys.write]\nsteps = [{{ endpoint = \"note\", think = \"short\", extract = {{ id = \"/id\" }} }}]\n\
         [websocket.screens]\npath = \"/live\"\nconnections = {connections}\nconnect_per_s = 1000\nwithin_ms = 800\n\
         send = [{{ client = \"{{client}}\", driver = 1 }}]\nready = {{ \"/type\" = \"watching\" }}\n{keys}\n\
         messages = {{ each = \"/events\", id = \"/id\", sequence = \"/id\", group = \"/driver\", position = \
         \"/position\" }}\n\
         [websocket.screens.follow]\nnote = {{ id = \"{{id}}\" }}\n"
    );
    Workload::parse(Path::new("w.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

async fn watched(workload: &Workload, target: &Target) -> Result<Watched, LoadError> {
    let globals = workload.new_vars();
    Watched::connect(workload, &workload.streams[0], (target, &globals, 1)).await
}

async fn drive(workload: Workload, address: SocketAddr) -> LoadReport {
    let (workload, target) = (Arc::new(workload), Target::at(address));
    let stop = Stop {
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    let schedule = Schedule {
        blocks: 1,
        ..workload.schedule(false)
    };
    let spec = AttackSpec {
        streams: vec![watched(&workload, &target).await.unwrap()],
        topics: vec![],
        workload: &workload,
        model: &LoadModel::Closed(workload.models.closed.unwrap()),
        schedule: &schedule,
        globals: workload.new_vars(),
        target,
        seed: 1,
        requests: None,
        slice: None,
    };
    Attack::new(spec, &stop).unwrap().run().await.unwrap()
}

/// Faults at one client of twenty, as often as they were made.
async fn account_of(fault: Fault, keys: &str) -> (Server, LoadReport) {
    let (server, address) = Server::start(fault).await;
    let report = drive(workload(CLIENTS, keys), address).await;
    (server, report)
}

fn expected(server: &Server) -> Account {
    Account {
        owed: CLIENTS * server.count(),
        ..Account::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_once_and_in_order_is_counted_with_its_times() {
    let (server, report) = account_of(Fault::None, "").await;
    let stream = &report.streams[0];
    assert_eq!(
        (stream.name.as_str(), stream.clients, stream.came_back),
        ("screens", 20, 0)
    );
    assert_eq!(stream.account, expected(&server));
    assert!(server.count() > 10, "{}", server.count());
    let (counted, errors) = stream.phases.iter().fold((0, 0), |(count, errors), phase| {
        (count + phase.count, errors + phase.errors)
    });
    assert_eq!((counted, errors), (CLIENTS * server.count(), 0));
    assert!(stream.phases[1].count > 0 && !stream.phases[1].hdr.is_empty());
    // Requests stand by themselves.
    assert_eq!(report.recorded.phases[1].endpoints.keys().collect::<Vec<_>>(), ["note"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_message_of_hundreds_is_found() {
    let (server, report) = account_of(Fault::Lost, "").await;
    let stream = &report.streams[0];
    assert_eq!(
        stream.account,
        Account {
            missed: 1,
            ..expected(&server)
        }
    );
    let timed_out: u64 = stream.phases.iter().map(|phase| phase.failures.time_out).sum();
    assert_eq!(timed_out, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_doubled_message_is_found() {
    let (server, report) = account_of(Fault::Doubled, "").await;
    let stream = &report.streams[0];
    assert_eq!(
        stream.account,
        Account {
            doubled: 1,
            ..expected(&server)
        }
    );
    let unexpected: u64 = stream.phases.iter().map(|phase| phase.failures.unexpected).sum();
    assert_eq!(unexpected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_messages_in_the_wrong_order_are_found() {
    let (server, report) = account_of(Fault::Swapped, "").await;
    assert_eq!(
        report.streams[0].account,
        Account {
            reordered: 1,
            ..expected(&server)
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_too_late_is_no_answer() {
    // Behind it wait others, which are late, too.
    let (server, report) = account_of(Fault::Late(Duration::from_secs(1)), "").await;
    let stream = &report.streams[0];
    assert_eq!(stream.account, expected(&server));
    let late: u64 = stream.phases.iter().map(|phase| phase.failures.time_out).sum();
    assert!(late >= 1, "{stream:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_off_comes_back_and_misses_nothing_where_it_resumes() {
    let again = "send_again = [{ client = \"{client}\", driver = 1, position = \"{position}\" }]";
    let (server, report) = account_of(Fault::Cut, again).await;
    let stream = &report.streams[0];
    assert_eq!(stream.account, expected(&server));
    assert_eq!(stream.came_back, 1);
    assert_eq!(stream.reasons.values().sum::<u64>(), 1, "{:?}", stream.reasons);
}

/// Without a position nobody is owed what was written while a client was away, and what it was shown stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_begins_anew_is_owed_nothing_for_the_time_between() {
    let (server, report) = account_of(Fault::Cut, "").await;
    let (account, all) = (report.streams[0].account, expected(&server));
    assert_eq!(
        (account.missed, account.doubled, account.reordered),
        (0, 0, 0),
        "{account:?}"
    );
    assert!(account.owed < all.owed, "{account:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_is_named_with_the_reason() {
    let (_, address) = Server::start(Fault::None).await;
    let workload = workload(MOST_SOCKETS + 1, "");
    let error = watched(&workload, &Target::at(address))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("client ") && error.contains("of `screens`: status 503"),
        "{error}"
    );
}
