//! Redis, and a client that speaks to it through its socket in the file system, whatever its network is like.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::program::{BOUND, Running, find, until};

/// A server that answers; its socket and its log are in a folder of its own.
pub(crate) struct Redis {
    pub(crate) server: Running,
    home: tempfile::TempDir,
}

/// A server that was told what to do and is to be started.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    home: tempfile::TempDir,
}

/// Redis on a data folder, with its own words for options; or why there is none.
pub(crate) fn prepare(data: &Path, options: &[&str]) -> Result<Prepared, String> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(find("redis-server", "redis-server")?);
    // What is not asked for is off: no dumps beside the log, no network.
    command.args(["--save", "", "--port", "0", "--daemonize", "no", "--dir"]).arg(data);
    command.arg("--unixsocket").arg(home.path().join("socket")).args(options);
    command.arg("--logfile").arg(home.path().join("log"));
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    Ok(Prepared { command, home })
}

impl Prepared {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(self) -> Redis {
        self.start_by(|command| command.spawn().unwrap())
    }

    /// The same, with the caller's own way to start a command.
    pub(crate) fn start_by(mut self, spawn: impl FnOnce(&mut Command) -> Child) -> Redis {
        let server = Running(spawn(&mut self.command));
        let mut redis = Redis { server, home: self.home };
        until("Redis to answer", || {
            let ended = redis.server.0.try_wait().unwrap();
            assert!(ended.is_none(), "Redis ended: {}", redis.log());
            redis
                .try_client()
                .is_ok_and(|mut client| client.ask(&["PING"]).is_ok_and(|answer| answer == "PONG"))
        });
        redis
    }
}

impl Redis {
    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        self.try_client().unwrap()
    }

    /// The same, of one that may be gone.
    pub(crate) fn try_client(&self) -> io::Result<Client> {
        let stream = UnixStream::connect(self.home.path().join("socket"))?;
        stream.set_read_timeout(Some(BOUND))?;
        Ok(Client(BufReader::new(stream)))
    }

    /// What it told about itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// Kills it, as a power failure would.
    pub(crate) fn kill(mut self) {
        self.server.0.kill().unwrap();
        self.server.0.wait().unwrap();
    }

    /// Waits until it has ended by itself, and gives back its log.
    pub(crate) fn ended(mut self) -> String {
        until("Redis to end", || self.server.0.try_wait().unwrap().is_some());
        self.log()
    }
}

/// One connection, by the protocol RESP 2 (redis.io/docs/reference/protocol-spec).
pub(crate) struct Client(pub(crate) BufReader<UnixStream>);

impl Client {
    /// Asks, and gives back the answer in words: errors with their `-`, nothing as `(nil)`, the parts of an array with spaces between.
    pub(crate) fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// The same, where an answer must come.
    pub(crate) fn say(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        self.ask(&words).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        match kind {
            "$" | "*" if rest == "-1" => Ok("(nil)".into()),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" => {
                let parts: io::Result<Vec<String>> = (0..rest.parse().unwrap()).map(|_| self.answer()).collect();
                Ok(parts?.join(" "))
            }
            "-" => Ok(line.into()),
            _ => Ok(rest.into()),
        }
    }
}
