//! An audit trail: who changed what, as lines of JSON that are only ever appended.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Complete, Error, ErrorKind, Event, EventKind, EventKinds, Problem, QueuePolicy, Result, Section, Spill, Subscriber,
    SubscriberConfig, SubscriberContext, check, config,
};

pub use retainit_plugin::set_actor;

use crate::line::Line;
use file::{Log, SpillFile};

config! {
    /// The configuration of the subscriber `audit`.
    ///
    /// ```
    /// # use retainit_subscribers as retainit;
    /// use retainit::AuditConfig;
    ///
    /// let config = AuditConfig::new().path("/var/log/shop/cache-audit.jsonl");
    /// # use retainit_plugin::Section;
    /// # assert!(config.problems().is_empty());
    /// ```
    pub struct AuditConfig {
        /// The file that is appended to, with mode 0600. It has to be given. One instance writes to one file; records
        /// that the queue cannot take go to a file of the same name with `.spill` behind it.
        path: PathBuf, example "retainit-audit.jsonl";

        /// Time for which a caller waits for room in the queue before its record is spilled.
        max_wait: Duration = "10ms";
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if self.path.get().is_none() && self.path.problem().is_none() {
            problems.push(Problem::new("path", "give the file that the records are appended to"));
        }
    }
}

impl SubscriberConfig for AuditConfig {
    fn build(&self, _context: SubscriberContext) -> Result<Box<dyn Subscriber>> {
        check(&self.problems())?;
        let all = self.complete();
        let path = all.path.get().ok_or_else(|| Error::new(ErrorKind::Config, "it is missing").with_field("path"))?;
        let mut audit = Audit {
            log: Log::open(path)?,
            spill: Arc::new(SpillFile::beside(path)?),
            max_wait: all.max_wait.get().copied().unwrap_or_default(),
        };
        // Records that an earlier process could not write any more come before everything newer.
        audit.take_spilled()?;
        Ok(Box::new(audit))
    }

    fn to_box(&self) -> Box<dyn SubscriberConfig> {
        Box::new(self.clone())
    }
}

retainit_plugin::register_subscriber!("audit", AuditConfig);

/// Makes a record of an event; the line is the same in the log and in the spill.
fn record(event: &Event) -> String {
    Line::of(event).with("actor", event.actor()).with_fields(event).finish()
}

#[derive(Debug)]
struct Audit {
    log: Log,
    spill: Arc<SpillFile>,
    max_wait: Duration,
}

impl Subscriber for Audit {
    fn name(&self) -> &str {
        "audit"
    }

    fn kinds(&self) -> EventKinds {
        [EventKind::CacheSet, EventKind::CacheDelete, EventKind::CacheClear, EventKind::ConfigChange].into()
    }

    fn policy(&self) -> QueuePolicy {
        QueuePolicy::Keep(self.max_wait)
    }

    fn handle(&mut self, event: &Event) -> Result<()> {
        self.log.append(record(event).as_bytes())
    }

    fn spill(&self) -> Option<Arc<dyn Spill>> {
        Some(Arc::clone(&self.spill) as Arc<dyn Spill>)
    }

    fn take_spilled(&mut self) -> Result<()> {
        self.spill.move_to(&mut self.log)
    }

    fn wants_actor(&self) -> bool {
        true
    }

    fn close(&mut self) -> Result<()> {
        self.log.sync()
    }
}

impl Spill for SpillFile {
    fn put(&self, event: &Event) -> Result<()> {
        self.append(record(event).as_bytes())
    }
}
