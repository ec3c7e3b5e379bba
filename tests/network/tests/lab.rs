//! The lab itself: it is what it says it is, and nothing of it stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[test]
fn the_lab_comes_up() {
    let here = std::env::current_exe().unwrap();
    let bins = here.parent().unwrap().parent().unwrap();
    let began = std::time::Instant::now();
    let gateway = workplace::gateway::Gateway::up(&workplace::gateway::Options {
        parts: bins.join("lab-parts"),
        relay: None,
        programs: Vec::new(),
        colleagues: 2,
        rekey: 30,
    })
    .unwrap();
    println!("up in {:?}", began.elapsed());
    println!("{}", gateway.logs());
}
