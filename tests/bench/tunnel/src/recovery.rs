//! How soon a connection that was open before goes on after a fault. Beside no peer: none has this.

use std::time::{Duration, Instant};

use anyhow::Result;
use network_tests::client::Job;
use network_tests::lab::{Client, Lab};
use workplace::gateway::underlay::Faults;

use crate::taken::{OURS, Taken};

pub fn measure(taken: &mut Taken) -> Result<()> {
    let lab = Lab::up()?;
    for (place, what, measured) in [
        (
            60,
            "gateway away for 4 s → an old connection answers",
            gateway_restart as fn(&Lab) -> Result<Duration>,
        ),
        (61, "line cut for 30 s → an old connection answers", cut),
        (62, "asleep for 60 s → an old connection answers", sleep),
        (
            63,
            "address changed → an old connection answers",
            address_change,
        ),
    ] {
        let took = measured(&lab)?;
        tracing::info!("{what}: {took:?}");
        taken.add((place, what, "s"), OURS, took.as_secs_f64());
    }
    Ok(())
}

/// The outage itself; there is nothing to wait for in it.
fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Wants an answer over the old connection, from shortly before the way is whole again, as somebody at work would.
struct Waiting {
    job: u64,
}

impl Waiting {
    fn begin(client: &mut Client) -> Result<Self> {
        let name = "desktop".to_owned();
        let job = client.begin(Job::Touch { name })?;
        Ok(Self { job })
    }

    fn end(self, client: &mut Client) -> Result<Duration> {
        let began = Instant::now();
        client.end(self.job)?;
        Ok(began.elapsed())
    }
}

fn gateway_restart(lab: &Lab) -> Result<Duration> {
    let (mut wireguard, mut client) = lab.gateway_to_harm(80, 51_903)?;
    wireguard.kill();
    let waiting = Waiting::begin(&mut client)?;
    pass(Duration::from_secs(4));
    wireguard.start(&lab.gateway.net)?;
    waiting.end(&mut client)
}

fn cut(lab: &Lab) -> Result<Duration> {
    let mut client = lab.client_in_use()?;
    let ports = client.ports.clone();
    lab.faults(&ports, Faults::cut())?;
    pass(Duration::from_secs(20));
    let waiting = Waiting::begin(&mut client)?;
    pass(Duration::from_secs(10));
    lab.faults(&ports, Faults::default())?;
    waiting.end(&mut client)
}

fn sleep(lab: &Lab) -> Result<Duration> {
    let mut client = lab.client_in_use()?;
    client.fall_asleep()?;
    let waiting = Waiting::begin(&mut client)?;
    pass(Duration::from_mins(1));
    client.wake_up()?;
    waiting.end(&mut client)
}

fn address_change(lab: &Lab) -> Result<Duration> {
    let mut client = lab.client_in_use()?;
    lab.device_moves_to(9)?;
    Waiting::begin(&mut client)?.end(&mut client)
}
