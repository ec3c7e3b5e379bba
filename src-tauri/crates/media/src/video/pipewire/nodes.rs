//! The cameras that `PipeWire` knows.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;

use pipewire::context::ContextRc;
use pipewire::core::PW_ID_CORE;
use pipewire::keys;
use pipewire::main_loop::MainLoopRc;
use pipewire::types::ObjectType;

use super::PATIENCE;
use crate::video::source::CaptureError;

/// A camera that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::video) struct Node {
    /// Stays the same when the camera is plugged in again.
    pub name: String,
    pub description: String,
}

/// Those that are plugged in now.
pub(in crate::video) fn nodes() -> Result<Vec<Node>, CaptureError> {
    let (found, list) = channel();
    // A server that hangs costs a thread, not the caller.
    thread::Builder::new()
        .name("camera-list".to_owned())
        .spawn(move || {
            let _ = found.send(list_nodes());
        })
        .map_err(|_| CaptureError::NoServer)?;
    let list = list.recv_timeout(PATIENCE);
    list.map_err(|_| CaptureError::NoServer)?
        .map_err(|_| CaptureError::NoServer)
}

fn list_nodes() -> Result<Vec<Node>, pipewire::Error> {
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
    let context = ContextRc::new(&main_loop, None)?;
    let core = context.connect_rc(None)?;
    let registry = core.get_registry()?;
    let nodes = Rc::<RefCell<Vec<Node>>>::default();
    let found = nodes.clone();
    let _globals = registry
        .add_listener_local()
        .global(move |global| {
            let Some(properties) = global.props.filter(|_| global.type_ == ObjectType::Node) else {
                return;
            };
            if properties.get(*keys::MEDIA_CLASS) != Some("Video/Source") {
                return;
            }
            let Some(name) = properties.get(*keys::NODE_NAME) else {
                return;
            };
            let description = properties.get(*keys::NODE_DESCRIPTION).unwrap_or(name);
            found.borrow_mut().push(Node {
                name: name.to_owned(),
                description: description.to_owned(),
            });
        })
        .register();
    // The server answers in order: after this everything was told.
    let asked = core.sync(0)?;
    let (done, failed) = (main_loop.clone(), main_loop.clone());
    let _core = core
        .add_listener_local()
        .done(move |id, answered| {
            if id == PW_ID_CORE && answered == asked {
                done.quit();
            }
        })
        .error(move |_, _, _, _| failed.quit())
        .register();
    main_loop.run();
    Ok(nodes.take())
}
