//! The demo's configuration: TOML as anybody would write it, so that it can be shown and taken from there.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::backends::Fleet;

/// What of the configuration is the user's choice.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    /// 0: the kernel chooses.
    pub(super) port: u16,
    /// 0: the kernel chooses.
    pub(super) admin_port: u16,
    pub(super) sticky: bool,
    /// Where the access log goes; nothing for none.
    pub(super) access_log: Option<PathBuf>,
}

/// The name of the configuration where a file's would stand.
pub(super) const NAME: &str = "demo.toml";

/// Writes the configuration in front of these backends.
pub(super) fn configuration(fleet: &Fleet, wishes: &Wishes) -> String {
    let mut backends = String::new();
    for backend in &fleet.backends {
        let (address, name) = (backend.address, backend.name);
        let _ = writeln!(
            backends,
            "  {{ address = \"{address}\", id = \"{name}\" }},"
        );
    }
    let sticky = if wishes.sticky { STICKY } else { NOT_STICKY };
    let Wishes {
        port,
        admin_port,
        access_log,
        ..
    } = wishes;
    // A path may have any character in it; a text of JSON is one of TOML.
    let access = access_log.as_ref().map_or_else(
        || "\"off\"".to_owned(),
        |path| serde_json::Value::from(path.to_string_lossy().into_owned()).to_string(),
    );
    format!(
        "# The configuration of `forecourt demo`. The ports of the backends are others at each start.\n\n\
         [server]\nshutdown = {{ deadline = \"5s\" }}\n\n\
         [admin]\naddress = \"127.0.0.1:{admin_port}\"\n\n\
         [log]\nlevel = \"error\"\naccess = {{ path = {access} }}\n\n\
         [listeners.web]\naddress = \"127.0.0.1:{port}\"\n\n\
         [[routes]]\nname = \"pages\"\npath_prefix = \"/\"\npool = \"pages\"\n\n\
         [[routes]]\nname = \"basket\"\npath_prefix = \"/basket\"\npool = \"baskets\"\n\n\
         [[routes]]\nname = \"checkout\"\npath_prefix = \"/checkout\"\npool = \"baskets\"\n\n\
         # Any backend can make a page: the least busy does, so that slow ones get fewer.\n\
         [pools.pages]\nstrategy = \"least-connections\"\nbackends = [\n{backends}]\n\n\
         # A basket is in the memory of one backend.\n\
         [pools.baskets]\nstrategy = \"round-robin\"\nbackends = [\n{backends}]\n\n{sticky}"
    )
}

const STICKY: &str = "# So a session keeps its backend.\n[pools.baskets.sticky]\n";

const NOT_STICKY: &str = "# Without stickiness a shopper is sent to a backend that does not know the basket.\n\
     # [pools.baskets.sticky]\n";
