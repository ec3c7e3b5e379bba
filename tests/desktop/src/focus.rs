//! The keyboard's focus. There is no window manager on our screens, and without the focus a window rightly believes
//! that nobody looks at it: it marks nothing as read.

use anyhow::{Context, Result};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{AtomEnum, ConfigureWindowAux};
use x11rb::protocol::xproto::{ConnectionExt as _, InputFocus, MapState, StackMode, Window};
use x11rb::rust_connection::RustConnection;

use crate::processes;

/// A connection to a screen, and its root window.
pub fn connect(display: &str) -> Result<(RustConnection, Window)> {
    let (connection, screen) =
        RustConnection::connect(Some(display)).context("the screen cannot be reached")?;
    let root = connection
        .setup()
        .roots
        .get(screen)
        .context("no such screen")?
        .root;
    Ok((connection, root))
}

/// Brings the window of this process to the front and gives it the focus. `false`: it has none on the screen yet.
pub fn give(display: &str, process: i32) -> Result<bool> {
    let (connection, root) = connect(display)?;
    let family = processes::tree(process);
    let pid = connection.intern_atom(false, b"_NET_WM_PID")?.reply()?.atom;
    let mut found: Option<(u32, Window)> = None;
    for window in connection.query_tree(root)?.reply()?.children {
        // Windows come and go meanwhile.
        let (Ok(owner), Ok(seen), Ok(shape)) = (
            connection
                .get_property(false, window, pid, AtomEnum::CARDINAL, 0, 1)?
                .reply(),
            connection.get_window_attributes(window)?.reply(),
            connection.get_geometry(window)?.reply(),
        ) else {
            continue;
        };
        let ours = owner
            .value32()
            .and_then(|mut value| value.next())
            .and_then(|pid| i32::try_from(pid).ok());
        let size = u32::from(shape.width) * u32::from(shape.height);
        if ours.is_some_and(|pid| family.contains(&pid))
            && seen.map_state == MapState::VIEWABLE
            && found.is_none_or(|(other, _)| other < size)
        {
            found = Some((size, window));
        }
    }
    let Some((_, window)) = found else {
        return Ok(false);
    };
    let above = ConfigureWindowAux::new().stack_mode(StackMode::ABOVE);
    connection.configure_window(window, &above)?.check()?;
    connection
        .set_input_focus(InputFocus::PARENT, window, x11rb::CURRENT_TIME)?
        .check()?;
    Ok(true)
}
