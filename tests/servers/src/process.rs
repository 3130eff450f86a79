use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Time within which a server has to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command and kills it when standard input ends: at the drop of the other end, or when the test's process ends
/// in whatever way. The first line that is printed is the command's id.
///
/// It outlives the keys that end a test run, because a shell's background commands ignore them.
const SUPERVISOR: &str = r#"trap '' INT QUIT HUP TERM
exec 3<&0
sh -c 'echo "$$"; exec "$@"' sh "$@" 3<&- </dev/null 2>&1 &
exec >/dev/null 2>&1
read -r line <&3
kill -9 $!
wait $!
"#;

/// A program that runs in a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    ready: &'static str,
    folder: tempfile::TempDir,
    log: Arc<Log>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    supervisor: Child,
    id: u32,
}

#[derive(Debug, Default)]
struct Log {
    text: Mutex<LogText>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogText {
    lines: Vec<String>,
    /// Number of lines that earlier runs have printed.
    earlier: usize,
    has_ended: bool,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, LogText> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        self.lock().lines.push(line);
        self.changed.notify_all();
    }

    /// Waits until this run has printed `text`, has ended, or has been waited for long enough.
    fn wait_for(&self, text: &str) -> bool {
        let has = |log: &LogText| log.lines[log.earlier..].iter().any(|line| line.contains(text));
        let waited = self.changed.wait_timeout_while(self.lock(), PATIENCE, |log| !has(log) && !log.has_ended);
        has(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Server {
    /// Starts a program and waits until it has logged `ready`. `arguments` are made of its folder.
    pub(crate) fn start(
        name: impl Into<String>,
        program: &Path,
        ready: &'static str,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Server, String> {
        let folder =
            tempfile::Builder::new().prefix("server-").tempdir().map_err(|error| format!("no folder: {error}"))?;
        let arguments = arguments(folder.path());
        let (name, program) = (name.into(), program.to_owned());
        let mut server = Server { name, program, arguments, ready, folder, log: Arc::default(), running: None };
        server.run()?;
        Ok(server)
    }

    /// Starts it with the same arguments in the same folder, after [`kill`](Server::kill).
    pub(crate) fn run(&mut self) -> Result<(), String> {
        assert!(self.running.is_none(), "{} is running", self.name);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SUPERVISOR).arg("sh").arg(&self.program).args(&self.arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut supervisor = command.spawn().map_err(|error| format!("no shell: {error}"))?;
        let mut output = BufReader::new(supervisor.stdout.take().expect("it is piped"));
        let mut first = String::new();
        output.read_line(&mut first).map_err(|error| error.to_string())?;
        let id = first.trim().parse().map_err(|_| format!("the shell printed {first:?} and no id"))?;
        {
            let mut log = self.log.lock();
            log.earlier = log.lines.len();
            log.has_ended = false;
        }
        let log = Arc::clone(&self.log);
        // Read to the end, or the server would wait for a reader of what it logs.
        thread::spawn(move || follow(output, &log));
        self.running = Some(Running { supervisor, id });
        match self.log.wait_for(self.ready) {
            true => Ok(()),
            false => Err(format!("{} is not ready:\n{}", self.name, self.log())),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns what it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().lines.join("\n")
    }

    /// Ends it at once, as a crash would, and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        if let Some(Running { mut supervisor, .. }) = self.running.take() {
            drop(supervisor.stdin.take());
            supervisor.wait().expect("the supervisor is our child");
        }
    }

    /// Stops its threads where they are, until [`resume`](Server::resume).
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.running.as_ref().expect("it is running").id;
        let status = Command::new("kill").arg(signal).arg(id.to_string()).status().expect("there is a kill");
        assert!(status.success(), "kill {signal} {id}: {status}");
    }
}

fn follow(output: impl Read, log: &Log) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        log.push(String::from_utf8_lossy(&line).into_owned());
    }
    log.lock().has_ended = true;
    log.changed.notify_all();
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, self.log());
        }
    }
}
