//! Memory of a thread, counted.

#![allow(
    unsafe_code,
    reason = "a counting allocator is an unsafe trait's implementation; it only passes calls on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread holds, less what it had given back of others' before.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with each thread's bytes counted.
struct Counting;

impl Counting {
    fn count(bytes: isize) {
        // A thread that ends has no counter any more, and nobody asks for it.
        let _ = NOW.try_with(|now| {
            now.set(now.get() + bytes);
            let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
        });
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work`, and says how many bytes it held at most beyond what the thread had.
pub(super) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let result = work();
    (result, usize::try_from(MOST.get() - before).unwrap_or(0))
}

#[test]
fn what_is_held_at_the_same_time_is_counted() {
    let ((), most) = peak(|| {
        drop(vec![0_u8; 50_000]);
        let held = vec![0_u8; 30_000];
        drop(vec![0_u8; 40_000]);
        drop(held);
    });
    assert_eq!(most, 70_000);
}
