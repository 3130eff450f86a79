use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A plain connection to a server, by which a test looks at it and controls it beside the client that is tested.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Int(i64),
    /// A text, or bytes that are shown as text.
    Text(String),
    /// Several replies.
    List(Vec<Reply>),
    /// An error.
    Error(String),
}

impl Client {
    /// Connects to a port of this machine.
    ///
    /// # Panics
    ///
    /// If nothing listens there.
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("port {port}: {error}"));
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it is connected");
        Client { stream: BufReader::new(stream) }
    }

    /// Sends a command and returns its reply, an error included.
    ///
    /// # Panics
    ///
    /// If the connection is lost.
    pub fn ask(&mut self, command: &[&str]) -> Reply {
        self.exchange(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Sends a command and returns its reply.
    ///
    /// # Panics
    ///
    /// If the reply is an error.
    pub fn run(&mut self, command: &[&str]) -> Reply {
        match self.ask(command) {
            Reply::Error(error) => panic!("{command:?}: {error}"),
            reply => reply,
        }
    }

    /// Sends a command and returns its reply as text.
    ///
    /// # Panics
    ///
    /// If the reply is no text.
    pub fn text(&mut self, command: &[&str]) -> String {
        match self.run(command) {
            Reply::Text(text) => text,
            other => panic!("{command:?}: expected a text, got {other:?}"),
        }
    }

    /// Returns how often a command was called, by the server's own statistics.
    pub fn calls(&mut self, command: &str) -> u64 {
        self.all_calls().into_iter().find(|(name, _)| name == command).map_or(0, |(_, calls)| calls)
    }

    /// Returns every command that was called, with how often, by the server's own statistics, in alphabetical order.
    pub fn all_calls(&mut self) -> Vec<(String, u64)> {
        let stats = self.text(&["INFO", "commandstats"]);
        let line = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        let mut calls: Vec<_> = stats.lines().filter_map(line).collect();
        calls.sort();
        calls
    }

    /// Returns one field of `INFO`.
    ///
    /// # Panics
    ///
    /// If there is no such field.
    pub fn info(&mut self, field: &str) -> String {
        let info = self.text(&["INFO", "everything"]);
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
    }

    /// Sends a command, and expects that the server may close the connection.
    pub(crate) fn exchange(&mut self, command: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", command.len());
        for part in command {
            request.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let broken = || io::Error::other(format!("not a reply: {line:?}"));
        let (kind, rest) = line.trim_end().split_at_checked(1).ok_or_else(broken)?;
        let number = || rest.parse::<i64>().map_err(|_| broken());
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Int(number()?)),
            "$" | "*" if number()? < 0 => Ok(Reply::Nil),
            "$" => {
                let length = usize::try_from(number()?).map_err(|_| broken())?;
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            "*" => (0..number()?).map(|_| self.reply()).collect::<io::Result<_>>().map(Reply::List),
            _ => Err(broken()),
        }
    }
}

impl Reply {
    /// Returns the text of a reply; those of a list in order, with blanks between.
    pub fn words(&self) -> String {
        match self {
            Reply::Nil => "(nil)".to_owned(),
            Reply::Int(number) => number.to_string(),
            Reply::Text(text) | Reply::Error(text) => text.clone(),
            Reply::List(replies) => replies.iter().map(Reply::words).collect::<Vec<_>>().join(" "),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}
