//! The program's start, which the loader tells before `main`: `goheap run` hears of programs that hardly allocate, too.

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = {
    extern "C" fn start() {
        goheap::after_start();
    }
    start
};
