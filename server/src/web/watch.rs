//! The watch page.

use std::fmt::Write as _;

use super::html::{Text, counted, frame};
use crate::api::StreamView;
use crate::catalog::State;

/// Scripts of the page, in the order of their needs.
const SCRIPTS: [&str; 6] = ["vendor/hls.min.js", "ui.js", "player.js", "report.js", "scrub.js", "watch.js"];

/// The controls that scripts put in the place of the browser's.
const CONTROLS: &str = r#"<div class="controls" id="controls" hidden>
<div class="scrub"><input type="range" id="seek" min="0" max="1000" value="0" step="1" aria-label="Position">
<div class="preview" id="preview" hidden aria-hidden="true"><span class="tile" hidden></span><span class="at"></span></div></div>
<div class="row">
<button type="button" id="play" aria-label="Play (k)"><svg viewBox="0 0 24 24" aria-hidden="true"><path class="when-off" d="M7 4v16l13-8z"/><path class="when-on" d="M6 4h4v16H6zM14 4h4v16h-4z"/></svg></button>
<button type="button" id="mute" aria-label="Mute (m)"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 9v6h4l5 5V4L7 9z"/><path class="when-on" d="M15 8.5a4 4 0 0 1 0 7zM15 4.2v2.1a6 6 0 0 1 0 11.4v2.1a8 8 0 0 0 0-15.6z"/><path class="when-off" d="m15 9 1.4-1.4 2.6 2.6 2.6-2.6L23 9l-2.6 2.6 2.6 2.6-1.4 1.4-2.6-2.6-2.6 2.6-1.4-1.4 2.6-2.6z"/></svg></button>
<input type="range" id="volume" min="0" max="1" step="0.05" value="0" aria-label="Volume">
<span class="time" id="time">0:00</span>
<button type="button" class="golive" id="golive" hidden>LIVE</button>
<span class="gap"></span>
<select id="captions" aria-label="Subtitles" hidden><option value="-1">No subtitles</option></select>
<select id="quality" aria-label="Quality"><option value="-1">Auto</option></select>
<button type="button" id="pip" aria-label="Picture in picture" hidden><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 4h18v16H3zm2 2v12h14V6z" fill-rule="evenodd"/><path d="M12 12h6v5h-6z"/></svg></button>
<button type="button" id="full" aria-label="Full screen (f)"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z"/></svg></button>
</div></div>
"#;

/// The page of one stream; `sid` is the session id that its player sends.
pub(super) fn html(view: &StreamView, sid: &str) -> String {
    let mut body = String::new();
    let live = matches!(view.state, State::Live | State::Idle);
    // As the addresses of the media: with a token in it, when the stream is private.
    let token = view.urls.page.rsplit_once('~').map(|(_, token)| format!("?token={token}"));
    let api = format!("/api/stream/{}{}", view.id, token.unwrap_or_default());
    let _ = write!(
        body,
        r#"<div class="watch" id="watch" data-id="{id}" data-hls="{hls}" data-dash="{dash}" data-page="{page}" data-api="{api}" data-sid="{sid}" data-live="{live}" data-dashjs="{dashjs}" data-subtitles="{subtitles}">
<div>
<div class="screen" id="player"><video id="video" controls playsinline muted autoplay aria-label="{title}"{poster}></video>
<div class="message" id="message" role="status" hidden><p></p></div>
{CONTROLS}<noscript><video class="plain" controls playsinline src="{page}"{poster}></video></noscript></div>
<noscript><p class="quiet">Without JavaScript this is the stream in one quality. Players take it as <a href="{hls}">HLS</a> or <a href="{dash}">DASH</a> too.</p></noscript>
<h1>{title}</h1>
<div class="bar"><span class="meta"><span class="state {state}" id="state">{state_text}</span><span class="viewers{some}" id="viewers">{watching} watching</span></span>
<label class="meta tech">Player <select id="tech"><option value="hls">HLS (hls.js)</option><option value="dash">DASH (dash.js)</option></select></label></div>
<p class="why" id="why">{error}</p>
</div>
<aside>
<section class="panel"><h2>Playback here</h2><dl>
<dt>Picture</dt><dd id="s-quality">-</dd>
<dt>Bitrate</dt><dd id="s-bitrate">-</dd>
<dt>Throughput</dt><dd id="s-estimate">-</dd>
<dt>Buffer</dt><dd id="s-buffer">-</dd>
<dt id="l-latency">Behind live</dt><dd id="s-latency">-</dd>
<dt>Start-up</dt><dd id="s-startup">-</dd>
<dt>Stalls</dt><dd id="s-stalls">0</dd>
<dt>Dropped frames</dt><dd id="s-dropped">0</dd></dl>
<div id="throughput"></div></section>
<section class="panel"><h2>All viewers</h2><dl><dt>Most at once</dt><dd id="peak">{peak}</dd><dt>All in all</dt><dd id="total">{total}</dd>
<dt>Watched</dt><dd id="watched">-</dd><dt>Start-up, median</dt><dd id="q-startup">-</dd><dt>With a stall</dt><dd id="q-stalled">-</dd><dt>Mean bitrate</dt><dd id="q-bitrate">-</dd></dl></section>
<section class="panel"><h2>Addresses</h2><ul class="links">
<li><a href="{hls}">HLS</a></li><li><a href="{dash}">DASH</a></li><li><a href="{api}">JSON</a></li>
<li class="quiet">{qualities}</li></ul></section>
<p class="quiet keys">Keys: k pause, j and l 10 s, arrows 5 s, m mute, f full screen, End live edge.</p>
</aside>
</div>
"#,
        id = Text(&view.id),
        hls = Text(&view.urls.hls),
        dash = Text(&view.urls.dash),
        page = Text(&view.urls.page),
        sid = Text(sid),
        api = Text(&api),
        live = u8::from(live),
        subtitles = Text(&serde_json::Value::from(view.subtitles.clone()).to_string()),
        dashjs = Text(&super::assets::url("vendor/dash.min.js")),
        poster = view.urls.poster.as_deref().map(|p| format!(" poster=\"{}\"", Text(p))).unwrap_or_default(),
        title = Text(&view.title),
        watching = view.viewers.current,
        some = if view.viewers.current > 0 { " some" } else { "" },
        state = view.state.name(),
        state_text = view.status,
        error = Text(view.error.as_deref().unwrap_or("")),
        peak = view.viewers.peak,
        total = view.viewers.total,
        qualities = counted(view.renditions.len() as u64, "rendition"),
    );
    frame(&format!("{} - Weir", view.title), "", &body, &SCRIPTS)
}
