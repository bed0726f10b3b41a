//! Rolling maintenance of a whole cluster, one member at a time, under load.

use std::sync::Arc;

use harness::history::load::Size;
use harness::history::{Load, Recorder};

use crate::failover::follow_each;
use crate::{check_history, on_three};

#[test]
fn a_rolling_restart_under_load() {
    on_three(&[], |mut cluster| async move {
        let recorder = Arc::new(Recorder::default());
        let followers = follow_each(&cluster);
        let size = Size {
            clients: 6,
            keys: 5,
            seed: 4,
        };
        let load = Load::start(&cluster.endpoints(), size, &recorder);
        for number in cluster.numbers() {
            load.wait_for(50).await;
            cluster.terminate(number);
            load.wait_for(50).await;
            cluster.restart(number);
            cluster.wait_writable(&[number]).await;
        }
        load.stop().await;
        check_history(&cluster, &recorder, &followers).await;
    });
}
