//! Requests: one client, keep-alive, bodies in chunks with timings.
