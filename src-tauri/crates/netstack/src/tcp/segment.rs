#![allow(clippy::pedantic, clippy::unwrap_used)]
use bytes::BytesMut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn sum(mut acc: u64, b: &[u8]) -> u64 {
    let mut it = b.chunks_exact(8);
    for c in &mut it {
        let v = u64::from_be_bytes(c.try_into().unwrap());
        let (r, o) = acc.overflowing_add(v);
        acc = r + o as u64;
    }
    let r = it.remainder();
    if !r.is_empty() {
        let mut t = [0u8; 8];
        t[..r.len()].copy_from_slice(r);
        let (x, o) = acc.overflowing_add(u64::from_be_bytes(t));
        acc = x + o as u64;
    }
    acc
}
fn fold(mut s: u64) -> u16 {
    s = (s >> 32) + (s & 0xffff_ffff);
    s = (s >> 32) + (s & 0xffff_ffff);
    s = (s >> 16) + (s & 0xffff);
    s = (s >> 16) + (s & 0xffff);
    s = (s >> 16) + (s & 0xffff);
    s as u16
}
pub fn checksum(acc: u64, b: &[u8]) -> u16 {
    !fold(sum(acc, b))
}

pub fn ipv4_header(h: &mut [u8], total: usize, proto: u8, src: Ipv4Addr, dst: Ipv4Addr) {
    h[..20].fill(0);
    h[0] = 0x45;
    h[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    h[6] = 0x40;
    h[8] = 64;
    h[9] = proto;
    h[12..16].copy_from_slice(&src.octets());
    h[16..20].copy_from_slice(&dst.octets());
    let c = checksum(0, &h[..20]);
    h[10..12].copy_from_slice(&c.to_be_bytes());
}

pub fn udp(src: IpAddr, sport: u16, dst: SocketAddr, data: &[u8]) -> BytesMut {
    let ul = 8 + data.len();
    let (mut p, hl) = match (src, dst.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut p = BytesMut::zeroed(20 + ul);
            ipv4_header(&mut p[..20], 20 + ul, 17, s, d);
            (p, 20)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let mut p = BytesMut::zeroed(40 + ul);
            p[0] = 0x60;
            p[4..6].copy_from_slice(&(ul as u16).to_be_bytes());
            p[6] = 17;
            p[7] = 64;
            p[8..24].copy_from_slice(&s.octets());
            p[24..40].copy_from_slice(&d.octets());
            (p, 40)
        }
        _ => return BytesMut::new(),
    };
    p[hl..hl + 2].copy_from_slice(&sport.to_be_bytes());
    p[hl + 2..hl + 4].copy_from_slice(&dst.port().to_be_bytes());
    p[hl + 4..hl + 6].copy_from_slice(&(ul as u16).to_be_bytes());
    p[hl + 8..].copy_from_slice(data);
    let c = l4_checksum(&p, hl, 17);
    p[hl + 6..hl + 8].copy_from_slice(&(if c == 0 { 0xffff } else { c }).to_be_bytes());
    p
}

fn l4_checksum(p: &[u8], hl: usize, proto: u8) -> u16 {
    let addrs = if hl == 40 && p[0] >> 4 == 6 {
        &p[8..40]
    } else {
        &p[12..20]
    };
    let acc = sum(0, addrs);
    let (a, o) = acc.overflowing_add(proto as u64 + (p.len() - hl) as u64);
    checksum(a + o as u64, &p[hl..])
}

/// `big` is an IP+TCP packet without checksums; `mss` = payload bytes per output packet (0 = no split).
pub fn segment(big: BytesMut, mss: usize, out: &mut Vec<BytesMut>) {
    let v6 = big[0] >> 4 == 6;
    let hl = if v6 { 40 } else { ((big[0] & 15) as usize) * 4 };
    let proto = if v6 { big[6] } else { big[9] };
    if proto != 6 {
        out.push(big);
        return;
    }
    let th = ((big[hl + 12] >> 4) as usize) * 4;
    let data = big.len() - hl - th;
    if mss == 0 || data <= mss {
        let mut p = big;
        finish(&mut p, v6, hl);
        out.push(p);
        return;
    }
    let seq0 = u32::from_be_bytes(big[hl + 4..hl + 8].try_into().unwrap());
    let ident = u16::from_be_bytes([big[4], big[5]]);
    let flags = big[hl + 13];
    let mut off = 0;
    let mut i = 0u16;
    while off < data {
        let n = mss.min(data - off);
        let last = off + n == data;
        let mut p = BytesMut::with_capacity(hl + th + n + 48);
        p.extend_from_slice(&big[..hl + th]);
        p.extend_from_slice(&big[hl + th + off..hl + th + off + n]);
        p[hl + 4..hl + 8].copy_from_slice(&seq0.wrapping_add(off as u32).to_be_bytes());
        if !last {
            p[hl + 13] = flags & !0x09; // FIN, PSH only on the last one
        }
        if !v6 {
            p[4..6].copy_from_slice(&ident.wrapping_add(i).to_be_bytes());
        }
        finish(&mut p, v6, hl);
        out.push(p);
        off += n;
        i += 1;
    }
}

fn finish(p: &mut BytesMut, v6: bool, hl: usize) {
    let len = p.len();
    if v6 {
        p[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    } else {
        p[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        p[10..12].fill(0);
        let c = checksum(0, &p[..hl]);
        p[10..12].copy_from_slice(&c.to_be_bytes());
    }
    p[hl + 16..hl + 18].fill(0);
    let c = l4_checksum(p, hl, 6);
    p[hl + 16..hl + 18].copy_from_slice(&c.to_be_bytes());
}
