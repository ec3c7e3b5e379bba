//! From one network to another. Alone in its program: the device of all its clients moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use network_tests::lab::{Lab, RIGHT};

#[test]
fn a_device_that_changes_its_address_is_soon_up_and_old_connections_go_on() {
    let lab = Lab::shared();
    let mut client = lab.client_in_use().unwrap();
    for host in [7, 8] {
        lab.device_moves_to(host).unwrap();
        let began = Instant::now();
        client.touch().unwrap();
        let took = began.elapsed();
        assert!(took <= RIGHT, "after {took:?}: {}", client.story());
        client.wait_for("up", RIGHT).unwrap();
        client.fetch().unwrap();
    }
}
