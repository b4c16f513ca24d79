//! Boxes of MP4 made wrong: as a tree, so that what is wrong lies deep and everything around it is right.

use super::{Random, mutate, odd, pick};

/// A box.
#[derive(Debug, Clone)]
struct Node {
    kind: [u8; 4],
    /// What stands before its children, or all of it.
    body: Vec<u8>,
    children: Vec<Node>,
    /// A size that is not its own.
    size: Option<u32>,
}

/// Bytes before the children of a box that has some.
fn prefix(kind: &[u8]) -> Option<usize> {
    const PLAIN: [&[u8; 4]; 13] = [
        b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"dinf", b"udta",
        b"mfra", b"wave",
    ];
    match kind {
        b"stsd" => Some(8),
        b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01" => Some(78),
        b"mp4a" | b"Opus" => Some(28),
        b"meta" => Some(4),
        kind => PLAIN.iter().any(|known| known.as_slice() == kind).then_some(0),
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Node> {
    let mut found = Vec::new();
    while let Some((head, _)) = bytes.split_first_chunk::<8>() {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = [head[4], head[5], head[6], head[7]];
        let Some(body) = bytes.get(8..size) else { break };
        let (own, children) = match prefix(&kind).and_then(|length| body.split_at_checked(length)) {
            Some((own, children)) => (own.to_vec(), parse(children)),
            None => (body.to_vec(), Vec::new()),
        };
        found.push(Node { kind, body: own, children, size: None });
        bytes = &bytes[size..];
    }
    found
}

fn write(nodes: &[Node], out: &mut Vec<u8>) {
    for node in nodes {
        let begin = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&node.kind);
        out.extend_from_slice(&node.body);
        write(&node.children, out);
        let size = node.size.unwrap_or((out.len() - begin) as u32);
        out[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
        // Bounded, however often something was doubled.
        if out.len() > 1 << 20 {
            return;
        }
    }
}

fn count(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| 1 + count(&node.children)).sum()
}

/// Lets `change` have the n-th box and the list that it is in.
fn at(nodes: &mut Vec<Node>, n: &mut usize, change: &mut dyn FnMut(&mut Vec<Node>, usize)) -> bool {
    for index in 0..nodes.len() {
        if *n == 0 {
            change(nodes, index);
            return true;
        }
        *n -= 1;
        if at(&mut nodes[index].children, n, change) {
            return true;
        }
    }
    false
}

/// A variation of a file of boxes. What is no box stays behind as it is.
pub fn mutate_boxes(random: &mut Random, file: &[u8]) -> Vec<u8> {
    let mut nodes = parse(file);
    for _ in 0..1 + random.below(4) {
        let mut n = random.below(count(&nodes).max(1));
        at(&mut nodes, &mut n, &mut |list, index| change(random, list, index));
    }
    let mut out = Vec::new();
    write(&nodes, &mut out);
    if random.below(8) == 0 {
        out.truncate(random.below(out.len() + 1));
    }
    out
}

fn change(random: &mut Random, list: &mut Vec<Node>, index: usize) {
    const KINDS: [&[u8; 4]; 22] = [
        b"ftyp", b"moov", b"trak", b"mdia", b"stbl", b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stco",
        b"stss", b"elst", b"tfhd", b"tfdt", b"trun", b"trex", b"mdat", b"avcC", b"hvcC", b"esds", b"free",
    ];
    let node = &mut list[index];
    match random.below(10) {
        // A number of its body: a count, a size, an offset, a time.
        0..=3 if node.body.len() >= 4 => {
            let place = if random.below(4) == 0 {
                random.below(node.body.len() - 3)
            } else {
                random.below(node.body.len() / 4) * 4
            };
            let old = u32::from_be_bytes([
                node.body[place],
                node.body[place + 1],
                node.body[place + 2],
                node.body[place + 3],
            ]);
            let new = match random.below(4) {
                0 => old.wrapping_add(1),
                1 => old.wrapping_sub(1),
                2 => old ^ (1 << random.below(32)),
                _ => odd(random) as u32,
            };
            node.body[place..place + 4].copy_from_slice(&new.to_be_bytes());
        }
        4 => node.size = Some(*pick(random, &[0, 1, 4, 7, 8, 9, 0x7fff_ffff, u32::MAX])),
        5 => node.kind = **pick(random, &KINDS),
        6 => {
            let copies = vec![node.clone(); 1 + random.below(6)];
            list.splice(index..index, copies);
        }
        7 => drop(list.remove(index)),
        8 => {
            let other = random.below(list.len());
            list.swap(index, other);
        }
        _ => {
            let inside = mutate(random, &node.body.clone(), b"\0\0\0\x10trun\0\0\x0f\x01\xff\xff\xff\xff");
            node.body = inside;
        }
    }
}
