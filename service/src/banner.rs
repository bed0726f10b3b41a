//! Commands to try, printed when a first member has been started in a terminal.

/// Returns commands that work against a member that listens for clients on `endpoint`.
pub fn try_next(endpoint: &str) -> String {
    // `etcdctl` uses this endpoint by default.
    let flag = match endpoint {
        "127.0.0.1:2379" | "localhost:2379" => String::new(),
        other => format!(" --endpoints={other}"),
    };
    format!(
        "\n  Conclave is ready. Try next, in another terminal:\n\n\
         \x20   etcdctl{flag} put greeting hello\n\
         \x20   etcdctl{flag} get greeting\n\
         \x20   etcdctl{flag} watch greeting\n\
         \x20   etcdctl{flag} endpoint status -w table\n\n\
         \x20 Ctrl-C stops it; the data stays.\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_endpoint_only_if_it_is_not_the_usual_one() {
        assert!(try_next("127.0.0.1:2379").contains("    etcdctl put greeting hello\n"));
        assert!(try_next("[::1]:7").contains("    etcdctl --endpoints=[::1]:7 get greeting\n"));
    }
}
