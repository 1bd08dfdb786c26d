// @ts-check
/** The page of one video: the clip, frame by frame. */
import { watch } from "./watch.js";

watch();
