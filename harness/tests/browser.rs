//! The witness page in a real browser: it loads without a complaint, fits a wide and a narrow screen, light and dark, and whatever a key or a
//! value says stays text.
//!
//! Chromium is spoken to over two pipes (its DevTools protocol, one JSON message ended by a zero byte), which needs no socket.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{Squall, exit_code, have, skip};
use serde_json::{Value, json};

/// Largest page, in bytes.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// Widths of the window: a screen, and a narrow one.
const WIDTHS: [u64; 2] = [1440, 800];

const HOSTILE: &str = "k\"></script></style></svg><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>'&\u{202e}\u{0}\u{1b}[31m\u{200b}\r\n";

/// One browser with one page.
struct Browser {
    child: Child,
    out: File,
    messages: BufReader<File>,
    session: Value,
    next_id: u64,
    /// What the page complained of.
    complaints: Vec<String>,
}

impl Browser {
    fn start(folder: &Path) -> Browser {
        let pipe = |name: &str| {
            let path = folder.join(name);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe can be made");
            path
        };
        let (to, from) = (pipe("to-browser"), pipe("from-browser"));
        // Chromium reads from descriptor 3 and writes to 4.
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update \
             --disable-sync --no-first-run --hide-scrollbars=false --user-data-dir=\"$1\" --remote-debugging-pipe 3<\"$2\" 4>\"$3\"";
        let child = Command::new("sh")
            .args(["-c", script, "browser"])
            .args([folder.join("profile"), to.clone(), from.clone()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started");
        // Each opens when the other side does, in the shell's order.
        let out = File::options().write(true).open(to).expect("the pipe to the browser opens");
        let messages = BufReader::new(File::open(from).expect("the pipe from the browser opens"));
        let mut browser = Browser {
            child,
            out,
            messages,
            session: Value::Null,
            next_id: 1,
            complaints: Vec::new(),
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    /// The next message. A browser that ends, ends the test.
    fn receive(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.messages.read_until(0, &mut bytes).expect("the browser can be read from");
        assert_eq!(bytes.pop(), Some(0), "the browser ended");
        let message: Value = serde_json::from_slice(&bytes).expect("the browser speaks JSON");
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") => self.complaints.push(parameters["args"].to_string()),
            Some("Log.entryAdded") => self.complaints.push(parameters["entry"]["text"].to_string()),
            _ => {}
        }
        message
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if self.session != Value::Null {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.out.write_all(&bytes).expect("the browser can be written to");
        loop {
            let answer = self.receive();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    fn load(&mut self, page: &Path, width: u64, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        let metrics = json!({"width": width, "height": 1_000, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let url = format!("file://{}", page.display());
        self.call("Page.navigate", json!({"url": url}));
        while self.receive()["method"] != "Page.loadEventFired" {}
    }

    fn ask(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        answer["result"]["value"].clone()
    }

    fn photograph(&mut self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            shot["data"].as_str().expect("a picture is text"),
        );
        std::fs::write(path, bytes.expect("a picture is base64")).expect("the picture can be saved");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of a history: `(process, function, argument, invoked, returned, seen)`, times in milliseconds.
fn history(key: &str, rows: &[(u64, &str, Value, u64, u64, Value)]) -> String {
    let mut events: Vec<(u64, bool, String)> = Vec::new();
    for (process, f, argument, invoked, returned, seen) in rows {
        let line = |time_ms: &u64, kind: &str, value: &Value| {
            json!({"time": time_ms * 1_000_000, "type": kind, "process": process, "f": f, "key": key, "value": value, "node": key})
                .to_string()
        };
        events.push((*invoked, false, line(invoked, "invoke", argument)));
        events.push((*returned, true, line(returned, "ok", seen)));
    }
    events.sort();
    events.into_iter().map(|(.., line)| line + "\n").collect()
}

/// One violation per model, and hostile text wherever text may stand.
fn violations() -> Vec<(&'static str, &'static str, String)> {
    let null = || Value::Null;
    let crowd = |n: u64| (100 + n, "enqueue", json!(1_000 + n), 11 + n, 60 + n, json!(1_000 + n));
    let mut queue = vec![
        (1, "enqueue", json!(5), 0, 10, json!(5)),
        (2, "enqueue", json!(6), 20, 30, json!(6)),
        (3, "dequeue", null(), 40, 50, json!(6)),
        (4, "dequeue", null(), 60, 70, json!(5)),
    ];
    queue.extend((0..30).map(crowd));
    let set = [
        (1, "add", json!(5), 0, 10, json!(5)),
        (2, "read", null(), 20, 30, json!((6..2_000).collect::<Vec<u64>>())),
        (3, "add", json!(6), 0, 10, json!(6)),
    ];
    let lock = [(1, "acquire", null(), 0, 10, null()), (2, "acquire", null(), 12, 20, null())];
    let counter = [(1, "add", json!(5), 0, 10, json!(5)), (2, "read", null(), 20, 30, json!(4))];
    let stale = |a: &str, b: &str| {
        [
            (1, "write", json!(a), 0, 10, json!(a)),
            (2, "write", json!(b), 20, 30, json!(b)),
            (3, "read", null(), 40, 50, json!(a)),
        ]
    };
    let txn = |parts: Value| (1, "txn", parts.clone(), 0, 10, parts);
    let half = json!([["r", HOSTILE, HOSTILE], ["r", "y", null]]);
    let store = [
        txn(json!([["w", HOSTILE, HOSTILE], ["w", "y", HOSTILE]])),
        (2, "txn", json!([["r", HOSTILE, null], ["r", "y", null]]), 20, 30, half),
    ];
    vec![
        ("register", "cas-register", history("k", &stale("17", "18"))),
        ("queue", "queue", history("q", &queue)),
        ("set", "set", history("s", &set)),
        ("counter", "counter", history("c", &counter)),
        ("mutex", "mutex", history("m", &lock)),
        (
            "hostile register",
            "register",
            history(HOSTILE, &stale(HOSTILE, &format!("{HOSTILE}2"))),
        ),
        (
            "hostile queue",
            "queue",
            history(HOSTILE, &[(1, "dequeue", null(), 0, 5, json!(HOSTILE))]),
        ),
        ("hostile store", "kv", history(HOSTILE, &store)),
    ]
}

fn page_of(squall: &Squall, name: &str, model: &str, lines: &str) -> PathBuf {
    let path = |extension: &str| squall.folder().join(format!("{name}.{extension}").replace(' ', "-"));
    std::fs::write(path("jsonl"), lines).expect("the history can be saved");
    let text = |path: PathBuf| path.display().to_string();
    let said = squall.run(&["check", &text(path("jsonl")), "--model", model, "--picture", &text(path("html"))]);
    assert_eq!(exit_code(&said), 1, "{name}: {}", said.text());
    path("html")
}

#[test]
fn the_page_of_a_violation_loads_fits_and_runs_nothing() {
    if !have("chromium") {
        return skip("`chromium` is not installed");
    }
    let squall = Squall::new();
    let mut browser = Browser::start(squall.folder());
    // Where a person wants to look: `SQUALL_SCREENSHOTS=DIR cargo test -p squall --test browser`.
    let shots = std::env::var_os("SQUALL_SCREENSHOTS").map(PathBuf::from);
    for (name, model, lines) in violations() {
        let page = page_of(&squall, name, model, &lines);
        let bytes = std::fs::metadata(&page).expect("the page is there").len();
        assert!(bytes < PAGE_BYTES_MAX, "{name}: {bytes} bytes");
        for (width, scheme) in WIDTHS.into_iter().flat_map(|width| ["light", "dark"].map(|scheme| (width, scheme))) {
            browser.load(&page, width, scheme);
            let title = browser.ask("document.title");
            assert!(
                title.as_str().is_some_and(|title| title.contains("is not linearizable")),
                "{name}: {title}"
            );
            let wide = browser.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{name} at {width} px is too wide");
            let inert = browser.ask("document.querySelectorAll('img, script, iframe, object, a, foreignObject').length");
            assert_eq!(inert, 0, "{name}: text became an element");
            let text = browser.ask("document.body.innerText");
            let text = text.as_str().expect("a page has text");
            assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{1b}', '\u{0}']), "{name}: {text}");
            if name.starts_with("hostile") {
                assert!(
                    text.contains(r"<img src=x onerror="),
                    "{name}: hostile text is shown as text: {text}"
                );
            }
            let background = browser.ask("getComputedStyle(document.body).backgroundColor");
            let is_dark = background
                .as_str()
                .is_some_and(|color| color.starts_with("rgb(1") || color.starts_with("rgb(2,"));
            assert_eq!(is_dark, scheme == "dark", "{name}: {background}");
            if let Some(folder) = &shots {
                browser.photograph(&folder.join(format!("{name}-{width}-{scheme}.png").replace(' ', "-")));
            }
        }
    }
    assert_eq!(browser.complaints, Vec::<String>::new(), "the console is empty");
}
