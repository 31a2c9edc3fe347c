// The page of examples: which lessons this browser has done.

import { markCards } from "./lessons.js";

markCards();
addEventListener("pageshow", (event) => event.persisted && markCards());
