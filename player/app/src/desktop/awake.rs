//! No dimming and no sleep while pictures move.

use std::collections::HashMap;

use zbus::{
    blocking::Connection,
    zvariant::{OwnedObjectPath, Value},
};

const APP: &str = "Weir";
const REASON: &str = "A stream is playing";

/// The portal's flags: suspend, idle.
const SUSPEND_AND_IDLE: u32 = 4 | 8;

/// How sleep is held off.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Not,
    /// A request of the portal, which works inside a sandbox too.
    Portal(OwnedObjectPath),
    /// A cookie of the screen saver, where there is no portal.
    ScreenSaver(u32),
    /// The desktop offers neither.
    Refused,
}

/// Holds sleep off while asked to.
#[derive(Debug, Default)]
pub(super) struct Awake {
    held: Held,
}

impl Awake {
    /// Whether the machine is to stay awake from now on.
    pub(super) fn keep(&mut self, bus: &Connection, wanted: bool) {
        match (&self.held, wanted) {
            (Held::Not, true) => self.held = hold(bus),
            (Held::Portal(request), false) => {
                let _ = bus.call_method(
                    Some("org.freedesktop.portal.Desktop"),
                    request.as_ref(),
                    Some("org.freedesktop.portal.Request"),
                    "Close",
                    &(),
                );
                self.held = Held::Not;
            }
            (Held::ScreenSaver(cookie), false) => {
                let _ = screen_saver(bus, "UnInhibit", cookie);
                self.held = Held::Not;
            }
            _ => {}
        }
    }
}

fn hold(bus: &Connection) -> Held {
    let options = HashMap::from([("reason", Value::from(REASON))]);
    let asked = bus.call_method(
        Some("org.freedesktop.portal.Desktop"),
        "/org/freedesktop/portal/desktop",
        Some("org.freedesktop.portal.Inhibit"),
        "Inhibit",
        &("", SUSPEND_AND_IDLE, options),
    );
    if let Ok(answer) = asked
        && let Ok(request) = answer.body().deserialize::<OwnedObjectPath>()
    {
        return Held::Portal(request);
    }
    match screen_saver(bus, "Inhibit", &(APP, REASON)).map(|answer| answer.body().deserialize::<u32>()) {
        Ok(Ok(cookie)) => Held::ScreenSaver(cookie),
        Ok(Err(error)) | Err(error) => {
            tracing::debug!(%error, "the desktop does not let sleep be held off");
            Held::Refused
        }
    }
}

fn screen_saver<B: serde::Serialize + zbus::zvariant::DynamicType>(
    bus: &Connection,
    method: &str,
    body: &B,
) -> zbus::Result<zbus::Message> {
    bus.call_method(
        Some("org.freedesktop.ScreenSaver"),
        "/org/freedesktop/ScreenSaver",
        Some("org.freedesktop.ScreenSaver"),
        method,
        body,
    )
}
