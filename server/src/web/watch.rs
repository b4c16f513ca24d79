//! The watch page.

use std::fmt::Write as _;

use super::html::{Text, counted, frame};
use crate::api::StreamView;

/// The page of one stream; `sid` is the session id that its player sends.
pub(super) fn html(view: &StreamView, sid: &str) -> String {
    let mut body = String::new();
    let _ = write!(
        body,
        r#"<div class="watch" id="watch" data-id="{id}" data-hls="{hls}" data-page="{page}" data-sid="{sid}">
<div>
<div class="screen"><video id="video" controls playsinline muted autoplay{poster}></video>
<div class="message" id="message" hidden><p></p></div>
<noscript><div class="message"><p>Without JavaScript: <a href="{hls}">HLS</a>, or play the address of this page in any player.</p></div></noscript></div>
<h1>{title}</h1>
<div class="bar"><span class="meta"><span class="viewers some" id="viewers">{watching} watching</span><span id="state">{state}</span></span>
<label class="meta">Quality <select id="quality" aria-label="Quality"><option value="-1">Auto</option></select></label>
<button class="danger manage" id="delete" hidden>Delete ...</button></div>
<p class="why" id="why">{error}</p>
</div>
<aside>
<section class="panel"><h2>Playback</h2><dl>
<dt>Picture</dt><dd id="s-quality">-</dd>
<dt>Bitrate</dt><dd id="s-bitrate">-</dd>
<dt>Throughput</dt><dd id="s-estimate">-</dd>
<dt>Buffer</dt><dd id="s-buffer">-</dd>
<dt>Stalls</dt><dd id="s-stalls">0</dd>
<dt>Dropped frames</dt><dd id="s-dropped">0</dd></dl>
<svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label="Throughput estimate"><path id="line" d=""/></svg></section>
<section class="panel"><h2>Viewers</h2><dl><dt>Most at once</dt><dd id="peak">{peak}</dd><dt>All in all</dt><dd id="total">{total}</dd></dl></section>
<section class="panel"><h2>Addresses</h2><ul class="links">
<li><a href="{hls}">HLS</a></li><li><a href="{dash}">DASH</a></li><li><a href="/api/stream/{id}">JSON</a></li>
<li class="quiet">{qualities}</li></ul></section>
</aside>
</div>
"#,
        id = Text(&view.id),
        hls = Text(&view.urls.hls),
        dash = Text(&view.urls.dash),
        page = Text(&view.urls.page),
        sid = Text(sid),
        poster = view.urls.poster.as_deref().map(|p| format!(" poster=\"{}\"", Text(p))).unwrap_or_default(),
        title = Text(&view.title),
        watching = view.viewers.current,
        state = view.state.name(),
        error = Text(view.error.as_deref().unwrap_or("")),
        peak = view.viewers.peak,
        total = view.viewers.total,
        qualities = counted(view.renditions.len() as u64, "rendition"),
    );
    frame(&format!("{} - Weir", view.title), "", &body, &["vendor/hls.min.js", "watch.js"])
}
