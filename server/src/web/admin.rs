//! The admin's page: a frame that scripts fill from the API, with the token that the admin types in.

use axum::response::Response;

use super::html::frame;

const BODY: &str = r##"<noscript><p class="empty">The admin page needs JavaScript. The form on the <a href="/">list</a> and the API work without it.</p></noscript>
<form class="login panel" id="login" hidden autocomplete="on">
<h1>Admin</h1>
<p class="quiet">This server asks for its token. It is the one given by <code>--token</code>, or else the one in the file <code>token</code> in the data folder. It stays in this tab and is never part of an address.</p>
<label class="field">Token<input id="token" name="token" type="password" autocomplete="current-password" required></label>
<p class="why" id="login-why" role="alert"></p>
<button>Log in</button>
</form>
<div class="admin" id="admin" hidden>
<nav class="side" aria-label="Streams">
<div class="side-head"><h1>Streams</h1><button type="button" id="new">New</button></div>
<ul id="list"></ul>
<div class="side-foot"><a href="#webhooks">Webhooks</a><button type="button" class="plain" id="logout" hidden>Log out</button></div>
</nav>
<div class="detail" id="detail" aria-live="off"></div>
</div>
<p class="toast" id="toast" role="status" hidden></p>
"##;

/// `GET /admin`
pub(super) async fn page() -> Response {
    let scripts = [
        "ui.js",
        "admin-api.js",
        "admin-upload.js",
        "admin-create.js",
        "admin-stream.js",
        "admin-webhooks.js",
        "admin.js",
    ];
    super::page(frame("Admin - Weir", "", BODY, &scripts))
}
