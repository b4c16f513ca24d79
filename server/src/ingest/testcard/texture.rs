//! Pre-rendered grey textures. Drawing a frame only copies rows out of them.

/// How far a cut-out may be moved, in pixels.
pub(super) const PAN: usize = 256;

/// A grey picture larger than what is shown of it.
#[derive(Debug)]
pub(super) struct Texture {
    pub(super) width: usize,
    pub(super) pixels: Vec<u8>,
}

impl Texture {
    /// Detail at every scale, as in a landscape: value noise, four octaves.
    pub(super) fn landscape(width: usize, height: usize, seed: u64) -> Self {
        let octaves = [(64, 40.0), (24, 24.0), (8, 16.0), (3, 10.0_f32)];
        let mut sums = vec![118.0_f32; width * height];
        for (octave, (cell, amplitude)) in octaves.into_iter().enumerate() {
            let salt = seed.wrapping_add(octave as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
            let knots = width / cell + 2;
            let knot = |x: usize, y: usize| {
                let hash = mix(salt.wrapping_add((y * knots + x) as u64));
                ((hash >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * amplitude * 2.0
            };
            for (y, row) in sums.chunks_mut(width).enumerate() {
                let (cy, fy) = (y / cell, (y % cell) as f32 / cell as f32);
                let (mut cx, mut left, mut right) = (usize::MAX, 0.0, 0.0);
                for (x, value) in row.iter_mut().enumerate() {
                    if x / cell != cx {
                        cx = x / cell;
                        left = knot(cx, cy) * (1.0 - fy) + knot(cx, cy + 1) * fy;
                        right = knot(cx + 1, cy) * (1.0 - fy) + knot(cx + 1, cy + 1) * fy;
                    }
                    let fx = (x % cell) as f32 / cell as f32;
                    *value += left * (1.0 - fx) + right * fx;
                }
            }
        }
        Self { width, pixels: sums.into_iter().map(|value| value.clamp(30.0, 220.0) as u8).collect() }
    }
}

/// White noise, as of a film's grain.
pub(super) fn grain(width: usize, height: usize, seed: u64) -> Texture {
    let mut state = seed;
    let pixels = (0..width * height)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            (88 + (mix(state) >> 58)) as u8
        })
        .collect();
    Texture { width, pixels }
}

/// A cut-out's place for frame `n`: somewhere else every time.
pub(super) fn jump(n: u64, range_x: usize, range_y: usize) -> (usize, usize) {
    let hash = mix(n.wrapping_add(0x5851_f42d_4c95_7f2d));
    ((hash % range_x as u64) as usize, ((hash >> 32) % range_y as u64) as usize)
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
