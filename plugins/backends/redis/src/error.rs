//! Everything that can go wrong, as errors of retainit: the one place where they are made.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use retainit_plugin::{Error, ErrorKind};

use crate::address::Address;
use crate::client::ClientError;

/// A failure that several callers may be told of.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: ErrorKind,
    field: Option<&'static str>,
    text: String,
    server: Option<String>,
    retryable: Option<bool>,
    /// First word of the answer, if the server answered.
    code: Option<Box<str>>,
}

impl Problem {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Problem {
        Problem { kind, field: None, text: text.into(), server: None, retryable: None, code: None }
    }

    /// The server cannot be reached, or no connection to it can be used.
    pub(crate) fn unreachable(text: impl Into<String>) -> Problem {
        Problem::new(ErrorKind::Unreachable, text)
    }

    /// The field of the configuration that has to be changed.
    pub(crate) fn field(mut self, field: &'static str) -> Problem {
        self.field = Some(field);
        self
    }

    /// Names the server.
    pub(crate) fn at(mut self, address: &Address) -> Problem {
        self.server = Some(address.to_string());
        self
    }

    /// Returns whether the connection, or the server behind it, is of no use any more.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::Timeout)
    }

    /// Returns whether the server takes no writes because it is not the primary.
    pub(crate) fn is_read_only(&self) -> bool {
        self.code.as_deref() == Some("READONLY")
    }

    /// Returns whether the server does not know the form of a command.
    pub(crate) fn is_syntax(&self) -> bool {
        self.code.as_deref() == Some("ERR") && self.text.contains("syntax error")
    }

    /// Makes a problem of what a server answered. `commands` are those that a script runs.
    pub(crate) fn answered(code: &str, details: &str, commands: &[&str]) -> Problem {
        let answer = format!("{code} {details}");
        let refused = |text: String| Problem::new(ErrorKind::Refused, text);
        let denied_in_script = details.contains("can't run this command") || details.contains("ACL failure in script");
        let mut problem = match code {
            "NOPERM" => denied(&answer, commands),
            "ERR" if denied_in_script => denied(&answer, commands),
            "OOM" => refused(format!("the server is out of memory: {answer}")),
            "READONLY" => refused(format!("the server is a replica and takes no writes: {answer}")),
            "NOAUTH" => refused(format!("{answer}; set `password`")).field("password"),
            "NOREPLICAS" | "MISCONF" | "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED"
            | "ASK" => refused(format!("the server answered: {answer}")),
            "CROSSSLOT" => {
                refused(format!("{answer}: a node of a cluster answered; set `cluster = true`")).field("cluster")
            }
            _ => Problem::new(ErrorKind::Backend, format!("the server answered: {answer}")),
        };
        problem.code = Some(code.into());
        problem
    }

    /// Makes a problem of what ended or broke a connection.
    pub(crate) fn lost(error: &ClientError) -> Problem {
        Problem::unreachable(format!("the connection was lost: {}", chain(error)))
    }

    /// Makes a problem of a socket that could not be opened.
    pub(crate) fn refused(error: &io::Error, address: &Address) -> Problem {
        Problem::unreachable(format!("it cannot be connected to: {}", chain(error))).at(address)
    }
}

/// A permission is missing. Trying again cannot help.
fn denied(answer: &str, commands: &[&str]) -> Problem {
    // Redis 7.0 does not say which command of a script it was.
    let named = match commands {
        [] => String::new(),
        _ if answer.contains("'") && !answer.contains("can't") => String::new(),
        commands => format!("; the script runs `{}`", commands.join("`, `")),
    };
    let text = format!("the user lacks a permission: {answer}{named}; `retainit.policy(..)` prints what it needs");
    let mut problem = Problem::new(ErrorKind::Refused, text).field("username");
    problem.retryable = Some(false);
    problem
}

/// Returns the text of an error with what caused it.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        let mut error = Error::new(problem.kind, problem.text);
        if let Some(field) = problem.field {
            error = error.with_field(field);
        }
        if let Some(server) = problem.server {
            error = error.with_context("server", server);
        }
        match problem.retryable {
            Some(retryable) => error.with_retryable(retryable),
            None => error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
