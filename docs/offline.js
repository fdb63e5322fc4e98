// The search of a page that was opened as a file: browsers start no worker there, so a frame does the worker's work.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      this.inside = frame.contentWindow
      window.addEventListener("message", (event) => {
        if (event.source !== this.inside) return
        this.dispatchEvent(new MessageEvent("message", { data: event.data }))
        this.onmessage?.(event)
      })
      const load = (source) => `new Promise(loaded => {
        const script = document.createElement("script")
        script.src = ${source}
        script.onload = loaded
        document.body.appendChild(script)
      })`
      this.inside.document.open()
      this.inside.document.write(`<body><script>
        window.postMessage = (message) => parent.postMessage(message, "*")
        window.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => ${load("url")}), Promise.resolve())
      <\/script><script src="${url}"><\/script></body>`)
      this.inside.document.close()
    }
    postMessage(message) {
      const send = () => this.inside.dispatchEvent(new MessageEvent("message", { data: message }))
      this.inside.document.readyState === "complete" ? send() : this.inside.addEventListener("load", send)
    }
  }
}
