//! Chromium, headless, steered over the DevTools protocol by a WebSocket client of our own.
//!
//! What a person does is done as the browser would have it from a mouse: at a place on the page, not by a script that
//! calls the page's functions. What a person sees is read from the document.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, DEADLINE, Request, is_installed, wait_for};

/// A browser with one page.
pub(super) struct Browser {
    child: Child,
    _folder: TempDir,
    page: TcpStream,
    calls: u64,
    /// Errors that the page or the browser complained of: exceptions, and what its policy forbids.
    pub(super) complaints: Vec<String>,
}

impl Browser {
    /// Starts one; none if it is not installed.
    #[track_caller]
    pub(super) fn start(width: u32, height: u32) -> Option<Self> {
        is_installed("chromium").then(|| Self::launch(width, height))
    }

    fn launch(width: u32, height: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port_file = folder.path().join("DevToolsActivePort");
        let address = wait_for(DEADLINE, "the browser to listen", || {
            let text = fs::read_to_string(&port_file).ok()?;
            let port: u16 = text.lines().next()?.parse().ok()?;
            Some(SocketAddr::from(([127, 0, 0, 1], port)))
        });
        let url = wait_for(DEADLINE, "the browser to have a page", || {
            let list = Request::get("/json/list").host(&address.to_string());
            let list = Client::of(address).send(&list);
            let targets: Vec<Value> = serde_json::from_slice(&list.body).ok()?;
            let page = targets.iter().find(|target| target["type"] == "page")?;
            page["webSocketDebuggerUrl"].as_str().map(str::to_owned)
        });
        let path = url.splitn(4, '/').nth(3).unwrap().to_owned();
        let mut browser = Self {
            child,
            _folder: folder,
            page: open(address, &path),
            calls: 0,
            complaints: Vec::new(),
        };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    /// Goes to an address.
    pub(super) fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// What an expression gives in the page.
    #[track_caller]
    pub(super) fn read(&mut self, expression: &str) -> Value {
        let given = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", given);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page. A page that is just loading may lack what it asks for.
    #[track_caller]
    pub(super) fn wait_until(&mut self, expression: &str) {
        let guarded =
            format!("(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()");
        let begun = std::time::Instant::now();
        while self.read(&guarded) != true {
            let page = self.read("document.body?.innerText");
            assert!(
                begun.elapsed() < DEADLINE,
                "waited in vain for {expression} in\n{page}\n{:?}",
                self.complaints
            );
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    /// Clicks with the mouse on what this selector finds.
    #[track_caller]
    pub(super) fn click(&mut self, selector: &str) {
        let quoted = json!(selector);
        let place = self.read(&format!(
            "(() => {{ const it = document.querySelector({quoted}); it.scrollIntoView({{ block: 'center', inline: 'center' }}); \
             const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Types into what has the focus.
    pub(super) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses and releases a key, such as `Escape` or `Enter`.
    pub(super) fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if key == "Enter" && kind == "keyDown" {
                event["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The page as it looks, as PNG.
    pub(super) fn picture(&mut self) -> Vec<u8> {
        use base64::Engine as _;
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let text = answer["data"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    }

    /// Changes what the browser says of its user, such as dark mode or the size of the screen.
    #[track_caller]
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let call = json!({ "id": self.calls, "method": method, "params": parameters });
        self.page
            .write_all(&masked(call.to_string().as_bytes()))
            .unwrap();
        loop {
            let message: Value = serde_json::from_slice(&self.message()).unwrap();
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            let details = &message["params"];
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.complaints.push(details.to_string()),
                Some("Log.entryAdded") if details["entry"]["level"] == "error" => {
                    self.complaints.push(details["entry"].to_string());
                }
                _ => {}
            }
        }
    }

    /// The next whole message (RFC 6455 section 5).
    fn message(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        loop {
            let [first, second] = self.bytes();
            let length = match second & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.bytes())),
                127 => u64::from_be_bytes(self.bytes()),
                short => u64::from(short),
            };
            let mut content = vec![0; usize::try_from(length).unwrap()];
            self.page
                .read_exact(&mut content)
                .expect("the browser answers in time");
            match first & 0x0f {
                0 | 1 => whole.extend(content),
                8 => panic!("the browser has closed the page"),
                _ => continue,
            }
            if first & 0x80 != 0 {
                return whole;
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.page
            .read_exact(&mut bytes)
            .expect("the browser answers in time");
        bytes
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens the WebSocket of a page.
fn open(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// A text message, masked by zeros.
fn masked(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(text);
    bytes
}
