// Uploads in pieces (tus 1.0): a line that breaks costs seconds, and a page that was loaded again goes on when it gets the same file again.
"use strict";
const adminUpload = (() => {
  const PIECE = 8 * 1024 * 1024;
  const PATIENCE = 120_000; // ms without a byte that got through
  const store = (key) => ({
    get: () => { try { return sessionStorage.getItem(key); } catch { return null; } },
    set: (value) => { try { sessionStorage.setItem(key, value); } catch { /* it starts anew then */ } },
    clear: () => { try { sessionStorage.removeItem(key); } catch { /* nothing was kept */ } },
  });
  const headers = (more) => {
    const token = sessionStorage.getItem("weir-token");
    return { "Tus-Resumable": "1.0.0", ...(token ? { Authorization: `Bearer ${token}` } : {}), ...more };
  };
  const refused = async (answer) => {
    const body = await answer.json().catch(() => null);
    const error = new Error(body?.detail ?? `The server answered ${answer.status}.`);
    error.status = answer.status;
    return error;
  };
  // Where an upload stands; null when the server knows it no more.
  const offset = async (id) => {
    const answer = await fetch(`/api/upload/${id}`, { method: "HEAD", headers: headers({}), cache: "no-store" });
    if (answer.ok) return Number(answer.headers.get("Upload-Offset"));
    if (answer.status === 404 || answer.status === 410) return null;
    throw await refused(answer);
  };
  const begin = async (file) => {
    const answer = await fetch("/api/upload", { method: "POST", headers: headers({ "Upload-Length": String(file.size) }) });
    if (!answer.ok) throw await refused(answer);
    return answer.headers.get("Location").split("/").pop();
  };
  // XMLHttpRequest tells how far a piece is; fetch does not.
  const piece = (id, from, blob, told) => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("PATCH", `/api/upload/${id}`);
    for (const [name, value] of Object.entries(headers({ "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) }))) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => told(from + event.loaded);
    request.onload = () => {
      if (request.status < 300) return done(Number(request.getResponseHeader("Upload-Offset")));
      let detail = null;
      try { detail = JSON.parse(request.responseText).detail; } catch { /* no problem document */ }
      const error = new Error(detail ?? `The server answered ${request.status}.`);
      error.status = request.status;
      return failed(error);
    };
    request.onerror = () => failed(new Error("The line broke."));
    request.send(blob);
  });
  // Sends the file and gives the upload's id. `told` gets bytes sent and a word about a break.
  return async (file, told) => {
    const kept = store(`weir-upload:${file.name}:${file.size}:${file.lastModified}`);
    let id = kept.get();
    let at = id ? await offset(id).catch(() => null) : null;
    if (at === null || at >= file.size) {
      id = await begin(file);
      at = 0;
      kept.set(id);
    } else told(at, "Going on where the upload broke off.");
    let moved = performance.now(), pause = 500;
    while (at < file.size) {
      try {
        at = await piece(id, at, file.slice(at, at + PIECE), (bytes) => told(bytes, ""));
        [moved, pause] = [performance.now(), 500];
      } catch (error) {
        // What the server refused stays refused; 409 only says that it has another idea of where it is.
        if (error.status && error.status < 500 && error.status !== 409) { kept.clear(); throw error; }
        if (error.status === 507) throw error;
        if (performance.now() - moved > PATIENCE) throw new Error("The upload broke off. Choose the same file again to go on with it.");
        told(at, "The line broke; trying again ...");
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(pause * 2, 10_000);
        const known = await offset(id).catch(() => at);
        if (known === null) { kept.clear(); throw new Error("The server has dropped the upload; start it again."); }
        if (known > at) moved = performance.now();
        at = known;
      }
    }
    kept.clear();
    return id;
  };
})();
