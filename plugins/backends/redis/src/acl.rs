//! The smallest rights of a user.

/// Returns the command that makes a user with the rights that the backend needs, and no others, on a server of a version:
/// older ones refuse a line with a subcommand that they do not know.
pub(crate) fn line(user: &str, namespace: &str, version: (u32, u32), uses_cluster: bool, selects: bool) -> String {
    let mut commands = vec![
        "get", "set", "mget", "getrange", "unlink", "pttl", "pexpire", "persist", "scan", "ping", "evalsha", "eval",
    ];
    if selects {
        commands.push("select");
    }
    if uses_cluster {
        // Rights on single subcommands came with 7.0.
        commands.extend(if version < (7, 0) { ["cluster", "asking"] } else { ["cluster|slots", "asking"] });
    }
    let commands: Vec<String> = commands.iter().map(|command| format!("+{command}")).collect();
    // Entries, and what a namespace shares, whose keys have its name in braces.
    let keys =
        if namespace.is_empty() { "~r1:*".to_owned() } else { format!("~r1:?:{namespace}:* ~r1:?:{{{namespace}}}:*") };
    format!("ACL SETUSER {user} on >PASSWORD resetkeys {keys} resetchannels -@all {}", commands.join(" "))
}

#[cfg(test)]
mod tests {
    // T-107, T-109
    #[test]
    fn a_line_names_what_its_version_knows() {
        let line = |version, cluster| super::line("shop", "shop", version, cluster, false);
        assert!(line((7, 0), true).contains("+cluster|slots") && !line((6, 2), true).contains('|'));
        assert!(!line((7, 0), false).contains("cluster"));
        assert!(
            line((7, 0), false).starts_with("ACL SETUSER shop on >PASSWORD resetkeys ~r1:?:shop:* ~r1:?:{shop}:* ")
        );
    }
}
