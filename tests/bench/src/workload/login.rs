//! Logins. Each must give a token.

use conclave_client::User;

use crate::drive::Workload;
use crate::target::log_in;
use crate::wire::{Failure, Wire};

/// Logs in the same user again and again.
pub(crate) struct LogIn {
    pub(crate) user: User,
}

impl Workload for LogIn {
    type Client = Wire;

    fn name(&self) -> String {
        "login".into()
    }

    async fn open(&self, wire: &Wire, _client: usize) -> Result<Wire, Failure> {
        Ok(wire.clone())
    }

    async fn call(&self, client: &mut Wire, _number: u64) -> Result<(), Failure> {
        let answer = log_in(client, &self.user).await?;
        if answer.token.is_empty() {
            return Err(Failure::new("check: a login without a token"));
        }
        Ok(())
    }
}
