import axios from "axios";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { configure } from "stepup-middleware";
import { useStepUp } from "stepup-middleware/react";
import "stepup-middleware/stepup.css";

// how the app was before: an API, by a bearer token where it has one, and a sign-out whenever a 401 arrives
const api = import.meta.env.VITE_API ?? "";
const bearer = import.meta.env.VITE_TOKEN;
const http = axios.create({ baseURL: api, headers: bearer ? { Authorization: `Bearer ${bearer}` } : {} });
http.interceptors.response.use(undefined, (error) => {
  if (error.response?.status === 401) document.title = "Signed out";
  throw error;
});

// what step-up adds: nothing where the API is of this origin and has cookies
if (api) configure({ api, headers: () => ({ Authorization: `Bearer ${bearer}` }) });

function Rotate() {
  const [said, say] = useState("");
  const rotate = async () => {
    try {
      const { data } = await http.post<{ rotated: string }>("/webhooks/orders/rotate", { reason: "leaked" });
      say(`Rotated ${data.rotated}.`);
    } catch (error) {
      say(error instanceof Error ? error.message : "failed");
    }
  };
  return <section><h1>Webhooks</h1><button onClick={rotate}>Rotate</button><p id="said">{said}</p></section>;
}

function Security() {
  const { asking, factors } = useStepUp();
  return <section><div ref={factors} /><p id="asking">{asking ?? "nothing"}</p></section>;
}

createRoot(document.getElementById("root")!).render(<><Rotate /><Security /></>);
