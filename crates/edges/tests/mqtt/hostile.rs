//! Bytes that are no MQTT, at every stage of a connection.

use pollux_model::Random as _;
use pollux_testkit::SeededRandom;

use crate::world::World;

#[tokio::test]
async fn garbage_closes_the_connection_and_nothing_else() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let random = SeededRandom::new(7);
    for round in 0..200 {
        let mut noise = vec![0; 1 + round % 97];
        random.fill(&mut noise);
        let (mut device, serving) = world.dial();
        if round % 2 == 0 {
            assert_eq!(device.connect(world.hub_connect(&good)).await, 0);
        }
        device.raw(&noise).await;
        drop(device);
        serving.await.expect("no panic");
    }
    let mut device = world.connected(&good).await;
    device.acknowledged("devices/d1/messages/events/", "still served").await;
}

#[tokio::test]
async fn a_pipe_that_says_nothing_ends_with_its_other_end() {
    let world = World::new().await;
    let (device, serving) = world.dial();
    drop(device);
    serving.await.unwrap();
}

#[tokio::test]
async fn protocol_errors_close_the_connection() {
    let world = World::new().await;
    for bytes in [
        &[0x30, 2, 0, 0][..],                                   // a PUBLISH before the CONNECT
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 1],                     // a length of five bytes
        &[0x10, 10, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 60], // the reserved flag
    ] {
        let (mut device, serving) = world.dial();
        device.raw(bytes).await;
        device.closed().await;
        serving.await.unwrap();
    }
}
