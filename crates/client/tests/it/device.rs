//! The MQTT client by itself.

use std::time::Duration;

use pollux_client::device::{Closed, ConnectError, DeviceError, QoS, RefusalCode};
use pollux_client::{ConnectOptions, MqttDevice};
use pollux_mqtt::{ConnectRefusal, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{agreeable, endpoint, identity, start, tell};

fn options() -> ConnectOptions {
    ConnectOptions {
        client_id: "device".to_owned(),
        username: Some("user".to_owned()),
        password: Some("secret".to_owned()),
        will: Some(("will/topic".to_owned(), "gone".into())),
        ..ConnectOptions::default()
    }
}

#[tokio::test]
async fn the_connect_says_what_it_was_told() {
    let (endpoint, mut events) = start(agreeable).await;
    let (device, _incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    let Some(Event::Connect(connect)) = events.recv().await else { panic!("no CONNECT") };
    assert_eq!((connect.client_id.as_str(), connect.username.as_deref()), ("device", Some("user")));
    assert_eq!((connect.password.as_deref(), connect.keep_alive), (Some(&b"secret"[..]), 60));
    assert_eq!(connect.will.unwrap().topic, "will/topic");
    assert!(!device.session_present() && device.timings().tls > Duration::ZERO);
}

#[tokio::test]
async fn many_messages_are_under_way_at_once() {
    let (endpoint, mut events) = start(agreeable).await;
    let (device, _incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    let mut acks = Vec::new();
    for number in 0..1000 {
        acks.push(device.publish_start(format!("t/{number}"), "m", QoS::AtLeastOnce).await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
    device.publish("t/last", vec![7; 200_000], QoS::AtMostOnce).await.unwrap();
    device.disconnect().await;
    assert_eq!(device.closed().await, Closed::ByUs);
    let mut topics = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Publish(message) => topics.push(message.topic.to_string()),
            Event::Disconnect => break,
            _ => {}
        }
    }
    let expected: Vec<_> = (0..1000).map(|n| format!("t/{n}")).chain(["t/last".to_owned()]).collect();
    assert_eq!(topics, expected);
}

#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let (endpoint, _events) = start(|server, event| {
        if let Event::Subscribe { .. } = event {
            (0..500).for_each(|number| tell(server, format!("to/{number}"), "m"));
        }
        agreeable(server, event)
    })
    .await;
    let (device, mut incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    let granted = device.subscribe(&[("to/#", QoS::AtLeastOnce)]).await.unwrap();
    assert_eq!(granted, [Some(QoS::AtLeastOnce)]);
    for number in 0..500 {
        assert_eq!(&*incoming.recv().await.unwrap().topic, format!("to/{number}"));
    }
    device.unsubscribe(&["to/#"]).await.unwrap();
}

#[tokio::test]
async fn who_drops_the_receiver_can_still_send() {
    let (endpoint, _events) = start(|server, event| {
        if let Event::Publish(_) = event {
            tell(server, "to/device".to_owned(), "m");
        }
        agreeable(server, event)
    })
    .await;
    let (device, incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    drop(incoming);
    for _ in 0..100 {
        device.publish("t", "m", QoS::AtLeastOnce).await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_connection_fails_who_waits() {
    let (endpoint, _events) = start(|server, event| match event {
        Event::Publish(_) => false,
        event => agreeable(server, event),
    })
    .await;
    let (device, mut incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    let gone = Err(DeviceError::Closed(Closed::ByServer));
    assert_eq!(device.publish("t", "m", QoS::AtLeastOnce).await, gone);
    assert_eq!(incoming.recv().await, None);
    assert_eq!(device.subscribe(&[("t", QoS::AtMostOnce)]).await.map(drop), gone);
    assert_eq!(device.publish("t".repeat(70_000), "m", QoS::AtLeastOnce).await, Err(DeviceError::TooLong));
}

#[tokio::test]
async fn a_vanished_device_says_no_goodbye_and_a_dropped_one_does() {
    let (endpoint, mut events) = start(agreeable).await;
    let (device, _incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    device.vanish().await;
    let (device, _incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    drop(device);
    assert!(matches!(events.recv().await, Some(Event::Connect(_))));
    assert!(matches!(events.recv().await, Some(Event::Connect(_))));
    assert!(matches!(events.recv().await, Some(Event::Disconnect)));
}

#[tokio::test]
async fn an_idle_device_pings_and_notices_silence() {
    let (config, ca) = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap(), &ca);
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut connect = [0; 1000];
        let _ = stream.read(&mut connect).await.unwrap();
        stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        let mut ping = [0; 2];
        stream.read_exact(&mut ping).await.unwrap();
        assert_eq!(ping, [0xC0, 0]);
        stream
    });
    let (device, _incoming) = MqttDevice::connect(&endpoint, options()).await.unwrap();
    // From here the clock jumps to the next timer whenever nothing else is to do.
    tokio::time::pause();
    assert_eq!(device.closed().await, Closed::Silent);
    drop(server.await.unwrap());
}

#[tokio::test]
async fn what_goes_wrong_while_connecting_is_told_apart() {
    let (refusing, _events) = start(|server, event| {
        if let Event::Connect(_) = event {
            server.refuse(ConnectRefusal::NotAuthorized);
        }
        true
    })
    .await;
    let error = MqttDevice::connect(&refusing, options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(RefusalCode::NotAuthorized)), "{error}");

    let (closing, _events) = start(|_, _| false).await;
    let error = MqttDevice::connect(&closing, options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Closed | ConnectError::Tls { .. }), "{error}");

    let (_, other_ca) = identity();
    let distrusting = endpoint(closing.address.unwrap(), &other_ca);
    let error = MqttDevice::connect(&distrusting, options()).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");

    let mut elsewhere = refusing.clone();
    elsewhere.host = "other.localhost".to_owned();
    let error = MqttDevice::connect(&elsewhere, options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    elsewhere.address = Some(listener.local_addr().unwrap());
    drop(listener);
    let error = MqttDevice::connect(&elsewhere, options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tcp { .. }), "{error}");
}
