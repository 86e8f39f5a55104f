import "zone.js"; // first, as Angular's own builder puts it
import "@angular/compiler"; // Angular's own builder is not here
import { HttpClient, HttpRequest, provideHttpClient, withInterceptors } from "@angular/common/http";
import { NgZone, provideZoneChangeDetection } from "@angular/core";
import { createApplication } from "@angular/platform-browser";
import { tap } from "rxjs";
import "stepup-middleware";
import "stepup-middleware/stepup.css";

// signs out whenever a 401 arrives, as many apps do
const signsOut = (request, next) =>
  next(request).pipe(tap({ error: (error) => error.status === 401 && (document.title = "Signed out") }));

createApplication({
  providers: [provideZoneChangeDetection(), provideHttpClient(withInterceptors([signsOut]))],
}).then((app) => {
  const { injector } = app;
  const [said, stable] = ["#said", "#stable"].map((name) => document.querySelector(name));
  const rotate = () => {
    const events = [];
    const request = new HttpRequest("POST", "/webhooks/orders/rotate", { reason: "leaked" }, { reportProgress: true });
    injector.get(HttpClient).request(request).subscribe({
      next: (event) => events.push(event),
      error: (error) => (said.textContent = `Failed ${error.status}.`),
      complete: () => {
        said.textContent = `Rotated ${events.at(-1).body.rotated}: ${events.map(({ type }) => type).join()}.`;
        app.whenStable().then(() => (stable.textContent = "Nothing is pending."));
      },
    });
  };
  document.querySelector("#rotate").addEventListener("click", () => injector.get(NgZone).run(rotate));
});
