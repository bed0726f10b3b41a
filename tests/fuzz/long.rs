//! The long run: one target, named by `CONCLAVE_FUZZ_TARGET`, under LLVM's libFuzzer. `make fuzz`
//! builds it with the instrumentation that guides libFuzzer, and starts it.
#![no_main]

use std::cell::RefCell;

use fuzz::target::{self, Target};

thread_local! {
    /// libFuzzer passes all inputs to the thread that called it.
    static TARGET: RefCell<Box<dyn Target>> = RefCell::new(open());
}

fn open() -> Box<dyn Target> {
    let name = std::env::var("CONCLAVE_FUZZ_TARGET").expect("CONCLAVE_FUZZ_TARGET names a target");
    let named = target::named(&name);
    (named
        .unwrap_or_else(|| panic!("no target is named {name}"))
        .open)()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    TARGET.with_borrow_mut(|target| target.run(input));
});
