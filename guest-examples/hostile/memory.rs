//! Taking memory.

use core::arch::wasm32::{memory_grow, memory_size, unreachable};

use crate::{Ends, files};

/// Grows the memory until it is refused, and says by how many pages.
fn take_all() -> usize {
    let mut taken = 0;
    let mut step = 1024;
    while step > 0 {
        if memory_grow::<0>(step) == usize::MAX {
            step /= 2;
        } else {
            taken += step;
        }
    }
    taken
}

pub fn grow() -> Ends {
    println!("growing");
    take_all();
    unreachable()
}

pub fn grow_and_go_on() -> Ends {
    take_all();
    println!("{} KiB in all", memory_size::<0>() * 64);
    Some(0)
}

/// All of the memory that was taken now.
fn everything() -> &'static mut [u8] {
    let begin = memory_size::<0>() << 16;
    let length = take_all() << 16;
    // SAFETY: the memory behind what the program had belongs to nobody else.
    unsafe { std::slice::from_raw_parts_mut(begin as *mut u8, length) }
}

pub fn fill_for_ever() -> Ends {
    println!("filling");
    let all = everything();
    for byte in (0..=u8::MAX).cycle() {
        // One instruction over all of it.
        std::hint::black_box(&mut *all).fill(byte);
    }
    None
}

/// Memory and the scratch folder, both to their last byte.
pub fn fill_both() -> Ends {
    let mebibyte = vec![0x5a; 1 << 20];
    std::hint::black_box(everything()).fill(1);
    files::fill_with(&mebibyte)
}

pub fn copy_for_ever() -> Ends {
    println!("copying");
    let all = everything();
    loop {
        std::hint::black_box(&mut *all).copy_within(1.., 0);
    }
}

#[inline(never)]
fn down(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    let deeper = if std::hint::black_box(true) { down(depth + 1) } else { 0 };
    deeper + room[63]
}

/// The program's own stack lies in its memory, and ends before the host's does.
pub fn recurse() -> Ends {
    println!("recursing");
    println!("{}", down(0));
    Some(0)
}
