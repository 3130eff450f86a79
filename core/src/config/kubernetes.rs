//! Variables that Kubernetes sets in every container of a namespace for each service there (its "service links"). Those
//! of a service called `retainit`, or `retainit-…`, look like settings.

use std::collections::BTreeSet;

use super::env::PREFIX;
use super::layer::Variables;

/// Services announced by variables of Kubernetes, as the prefix behind `RETAINIT_`.
#[derive(Debug)]
pub(super) struct ServiceLinks {
    services: BTreeSet<String>,
}

impl ServiceLinks {
    /// Collects the services by their `…_SERVICE_HOST`; the service `retainit` itself is recognized by the form of its
    /// variables.
    pub(super) fn new(variables: &Variables) -> ServiceLinks {
        let names = variables.keys().filter_map(|name| name.strip_prefix(PREFIX)?.strip_suffix("SERVICE_HOST"));
        // Every variable is compared with each service, so their number is bounded.
        let services = names.filter(|service| service.ends_with('_')).take(64).map(str::to_owned).collect();
        ServiceLinks { services }
    }

    /// Returns true if a variable belongs to a service; `rest` is the name behind `RETAINIT_`.
    pub(super) fn have(&self, rest: &str, value: &str) -> bool {
        let of = |service: &str| rest.strip_prefix(service).is_some_and(|rest| is_link(rest, value));
        of("") || self.services.iter().any(|service| of(service))
    }
}

/// Returns true if a variable has the form that Docker once defined: `SERVICE_HOST`, `SERVICE_PORT`,
/// `SERVICE_PORT_WEB`, `PORT`, `PORT_80_TCP`, `PORT_80_TCP_PROTO`, `PORT_80_TCP_PORT`, `PORT_80_TCP_ADDR`.
fn is_link(rest: &str, value: &str) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if let Some(port) = rest.strip_prefix("SERVICE_PORT") {
        return is_number(value) && (port.is_empty() || port.starts_with('_'));
    }
    let mut parts = rest.split('_');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("SERVICE"), Some("HOST"), None, ..) => true,
        (Some("PORT"), None, ..) => is_url,
        (Some("PORT"), Some(number), Some("TCP" | "UDP" | "SCTP"), part, None) if is_number(number) => match part {
            None => is_url,
            Some("PORT") => is_number(value),
            Some(part) => ["PROTO", "ADDR"].contains(&part),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_family_and_what_is_none() {
        let links = [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "80"),
            ("SERVICE_PORT_WEB_UI", "80"),
            ("PORT", "tcp://10.0.0.1:80"),
            ("PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("PORT_80_UDP", "udp://10.0.0.1:80"),
            ("PORT_80_TCP_PROTO", "tcp"),
            ("PORT_80_TCP_PORT", "80"),
            ("PORT_80_SCTP_ADDR", "10.0.0.1"),
        ];
        links.iter().for_each(|(rest, value)| assert!(is_link(rest, value), "{rest}"));
        let others = [
            ("SERVICE", "x"),
            ("SERVICE_HOSTS", "x"),
            ("SERVICE_PORT", "web"),
            ("SERVICE_PORTS", "80"),
            ("PORT", "80"),
            ("PORT_TCP", "tcp://x"),
            ("PORT_80_TCP", "80"),
            ("PORT_80_HTTP", "tcp://x"),
            ("PORT_80_TCP_NAME", "x"),
            ("PORT_80_TCP_ADDR_X", "x"),
            ("PORT_X_TCP_ADDR", "x"),
        ];
        others.iter().for_each(|(rest, value)| assert!(!is_link(rest, value), "{rest}"));
    }
}
