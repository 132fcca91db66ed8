//! The fault proxy in front of real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use stack::proxy::{Fault, FaultProxy};
use stack::wait::Patience;
use stack::{Kafka, Redis, StackOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Room, ok};

/// Long enough to be sure that nothing comes, if it is to come at all.
const SILENCE: Duration = Duration::from_millis(300);

/// A server that sends back what it gets, and counts who comes.
async fn echo(came: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            came.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // A connection that is cut is what these tests are about.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn through_proxy() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::before(&echo(Arc::default()).await).await.unwrap();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, stream)
}

async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn bytes_pass_as_they_are_and_the_end_does_too() {
    let (_proxy, mut stream) = through_proxy().await;
    let text: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut from, mut to) = stream.split();
    let sending = async {
        to.write_all(&text).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut answer = Vec::new();
    let (read, ()) = tokio::join!(from.read_to_end(&mut answer), sending);
    read.unwrap();
    assert!(
        answer == text,
        "{} of {} bytes came back, or others",
        answer.len(),
        text.len()
    );
}

#[tokio::test]
async fn a_stalled_connection_goes_on_from_where_it_was() {
    let (proxy, mut stream) = through_proxy().await;
    assert_eq!(round_trip(&mut stream, b"before").await.unwrap(), b"before");
    proxy.set(Fault::Stall);
    stream.write_all(b"meanwhile").await.unwrap();
    let mut answer = [0; 9];
    let silence = tokio::time::timeout(SILENCE, stream.read_exact(&mut answer)).await;
    assert!(silence.is_err(), "something came through a stall");
    proxy.set(Fault::None);
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"meanwhile");
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_what_comes() {
    let (proxy, mut stream) = through_proxy().await;
    assert_eq!(round_trip(&mut stream, b"before").await.unwrap(), b"before");
    proxy.set(Fault::Cut);
    let cut = stream.read(&mut [0; 1]).await;
    assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let mut another = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(round_trip(&mut another, b"meanwhile").await.is_err());
    proxy.set(Fault::None);
    let mut after = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(round_trip(&mut after, b"after").await.unwrap(), b"after");
}

/// Sooner than this it cannot come; how much later is the machine's business.
#[tokio::test]
async fn a_delay_holds_in_both_directions() {
    let (proxy, mut stream) = through_proxy().await;
    let delay = Duration::from_millis(100);
    proxy.set(Fault::Delay(delay));
    let started = Instant::now();
    round_trip(&mut stream, b"there and back").await.unwrap();
    assert!(started.elapsed() >= 2 * delay, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_narrow_line_takes_its_time() {
    let (proxy, mut stream) = through_proxy().await;
    proxy.set(Fault::Bandwidth { bytes_per_s: 50_000 });
    let started = Instant::now();
    round_trip(&mut stream, &vec![7; 20_000]).await.unwrap();
    // 400 ms at this rate, but for the last piece of a twentieth of a second, after which nothing is waited for.
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn without_a_proxy_there_is_no_connection() {
    let came = Arc::new(AtomicUsize::new(0));
    let proxy = FaultProxy::before(&echo(Arc::clone(&came)).await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(round_trip(&mut stream, b"before").await.unwrap(), b"before");
    let address = proxy.address();
    drop(proxy);
    assert!(round_trip(&mut stream, b"after").await.is_err());
    // Another test may have been given the port: what must not happen is that the server is reached through it.
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let _ = round_trip(&mut stream, b"after").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redis_client_survives_a_cut() {
    let room = Room::new();
    let redis = ok(Redis::start(&room.native()).await);
    let proxy = FaultProxy::before_url(&redis.url()).await.unwrap();
    let client = redis::Client::open(proxy.url(&redis.url()).unwrap()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SET")
        .arg("key")
        .arg("value")
        .query_async(&mut connection)
        .await
        .unwrap();
    proxy.set(Fault::Cut);
    let cut: redis::RedisResult<String> = redis::cmd("GET").arg("key").query_async(&mut connection).await;
    assert!(cut.unwrap_err().is_connection_dropped());
    proxy.set(Fault::None);
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let value: String = redis::cmd("GET").arg("key").query_async(&mut connection).await.unwrap();
    assert_eq!(value, "value");
    ok(redis.stop().await);
}

/// The broker is told the proxy's address before it starts, because its clients follow what it tells them.
#[tokio::test]
async fn kafkas_clients_stay_behind_the_proxy() {
    let room = Room::new();
    let proxy = FaultProxy::bind().await.unwrap();
    let options = StackOptions {
        kafka_advertised: Some(proxy.address()),
        ..room.native()
    };
    let kafka = ok(Kafka::start(&options).await);
    proxy.forward_to(&kafka.brokers());
    ok(kafka.create_topic("trips", 1).await);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", proxy.address().to_string())
        .set("message.timeout.ms", "2000");
    let producer: FutureProducer = config.create().unwrap();
    let patience = Duration::from_secs(30);
    let record = || FutureRecord::<str, str>::to("trips").payload("x");
    producer.send(record(), patience).await.unwrap();
    proxy.set(Fault::Cut);
    let (error, _) = producer.send(record(), patience).await.unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
    proxy.set(Fault::None);
    // The client pauses between its attempts to connect, longer each time.
    let mut patience_after = Patience::new(patience);
    while producer.send(record(), patience).await.is_err() {
        patience_after.pause().await.unwrap();
    }
    ok(kafka.stop().await);
}
