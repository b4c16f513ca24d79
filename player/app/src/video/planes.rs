//! The painter for graphics cards: planes go up as they came out of the decoder, a shader makes colours of them.
//!
//! Own program and vertex array; texture units return to 0 and row lengths to 0 after use, because egui
//! resets neither. Textures are allocated once per size. Everything is freed in [`Planes::destroy`].
#![expect(unsafe_code, reason = "OpenGL calls, on the context and in the thread that eframe handed out")]

use std::sync::{Arc, Mutex, PoisonError};

use eframe::{
    egui_glow::{CallbackFn, ShaderVersion},
    glow::{self, HasContext, PixelUnpackData},
};
use egui::Rect;
use weir_engine::playback::{PictureView, PixelFormat};

use super::{
    Picture, VideoPainter,
    colour::{Coefficients, bytes_per_sample},
};

const VERTEX: &str = r"
out vec2 uv;
void main() {
    vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    uv = vec2(corner.x, 1.0 - corner.y);
    gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}
";

const FRAGMENT: &str = r"
uniform sampler2D first;
uniform sampler2D second;
uniform sampler2D third;
uniform int planes;
uniform mat3 colour;
uniform vec3 offset;
uniform float scale;
uniform vec4 chroma;
in vec2 uv;
out vec4 pixel;
void main() {
    vec3 codes;
    if (planes == 1) {
        pixel = vec4(texture(first, uv).rgb, 1.0);
        return;
    }
    vec2 at = uv * chroma.xy + chroma.zw;
    codes.x = texture(first, uv).r;
    if (planes == 2) {
        codes.yz = texture(second, at).rg;
    } else {
        codes.y = texture(second, at).r;
        codes.z = texture(third, at).r;
    }
    pixel = vec4(clamp(colour * (codes * scale - offset), 0.0, 1.0), 1.0);
}
";

/// One texture and what it was allocated for.
#[derive(Clone, Copy)]
struct Texture {
    name: glow::Texture,
    allocated: Option<(i32, i32, u32)>,
}

/// What the shader needs to know of the picture in the textures.
#[derive(Clone, Copy)]
struct Loaded {
    planes: i32,
    coefficients: Coefficients,
    chroma: [f32; 4],
}

struct Inner {
    program: glow::Program,
    vertices: glow::VertexArray,
    textures: [Texture; 3],
    /// 16-bit textures that filter: everywhere but on plain GLES.
    deep: bool,
    waiting: Option<Picture>,
    loaded: Option<Loaded>,
    dead: bool,
}

/// Shows pictures with a shader of its own.
pub struct Planes {
    inner: Arc<Mutex<Inner>>,
}

/// How one plane goes into a texture.
struct Upload<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
    components: usize,
    bytes: usize,
}

impl Planes {
    /// Compiles the shader. The error says what this OpenGL lacks.
    pub fn new(gl: &Arc<glow::Context>) -> Result<Self, String> {
        let version = ShaderVersion::get(gl);
        if !version.is_new_shader_interface() {
            return Err("OpenGL 3.1 or OpenGL ES 3.0 is needed".to_owned());
        }
        // SAFETY: eframe made this context current in this thread before it created the app.
        let inner = unsafe {
            let program = compile(gl, version)?;
            let vertices = gl.create_vertex_array()?;
            let texture = || gl.create_texture().map(|name| Texture { name, allocated: None });
            Inner {
                program,
                vertices,
                textures: [texture()?, texture()?, texture()?],
                deep: !version.is_embedded() || gl.supported_extensions().contains("GL_EXT_texture_norm16"),
                waiting: None,
                loaded: None,
                dead: false,
            }
        };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }
}

impl VideoPainter for Planes {
    fn name(&self) -> &'static str {
        "planes and shader"
    }

    fn wants_rgba(&self) -> bool {
        false
    }

    fn set(&mut self, _ctx: &egui::Context, picture: Picture) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).waiting = Some(picture);
    }

    fn clear(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting = None;
        inner.loaded = None;
    }

    fn paint(&mut self, ui: &egui::Ui, rect: Rect) {
        let inner = Arc::clone(&self.inner);
        let callback = CallbackFn::new(move |_info, painter| {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: egui_glow calls this with its context current.
            unsafe { inner.draw(painter.gl()) };
        });
        ui.painter().add(egui::PaintCallback { rect, callback: Arc::new(callback) });
    }

    fn destroy(&mut self, gl: Option<&glow::Context>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting = None;
        if let (Some(gl), false) = (gl, inner.dead) {
            inner.dead = true;
            // SAFETY: eframe calls this with its context current, and `dead` keeps the names from being used again.
            unsafe {
                gl.delete_program(inner.program);
                gl.delete_vertex_array(inner.vertices);
                for texture in inner.textures {
                    gl.delete_texture(texture.name);
                }
            }
        }
    }
}

impl Inner {
    unsafe fn draw(&mut self, gl: &glow::Context) {
        if self.dead {
            return;
        }
        if let Some(picture) = self.waiting.take()
            && let Some(view) = picture.view()
        {
            // SAFETY: the caller's.
            self.loaded = unsafe { self.load(gl, &view) };
        }
        let Some(loaded) = self.loaded else { return };
        // SAFETY: the caller's; all names are alive.
        unsafe {
            gl.disable(glow::BLEND);
            gl.use_program(Some(self.program));
            gl.bind_vertex_array(Some(self.vertices));
            for ((unit, texture), name) in (0..).zip(&self.textures).zip(["first", "second", "third"]) {
                gl.active_texture(glow::TEXTURE0 + unit);
                gl.bind_texture(glow::TEXTURE_2D, Some(texture.name));
                gl.uniform_1_i32(gl.get_uniform_location(self.program, name).as_ref(), unit as i32);
            }
            let place = |name| gl.get_uniform_location(self.program, name);
            let Coefficients { matrix, offset, scale } = loaded.coefficients;
            // Rows of ours, columns of GL's.
            let columns: Vec<f32> = (0..3).flat_map(|column| matrix.map(|row| row[column])).collect();
            gl.uniform_1_i32(place("planes").as_ref(), loaded.planes);
            gl.uniform_matrix_3_f32_slice(place("colour").as_ref(), false, &columns);
            gl.uniform_3_f32(place("offset").as_ref(), offset[0], offset[1], offset[2]);
            gl.uniform_1_f32(place("scale").as_ref(), scale);
            let [x, y, z, w] = loaded.chroma;
            gl.uniform_4_f32(place("chroma").as_ref(), x, y, z, w);
            gl.draw_arrays(glow::TRIANGLE_STRIP, 0, 4);
            for unit in (0..3).rev() {
                gl.active_texture(glow::TEXTURE0 + unit);
                gl.bind_texture(glow::TEXTURE_2D, None);
            }
            gl.bind_vertex_array(None);
            gl.enable(glow::BLEND);
        }
    }

    /// Copies a picture into the textures; `None` when it cannot be shown.
    unsafe fn load(&mut self, gl: &glow::Context, view: &PictureView<'_>) -> Option<Loaded> {
        let (width, height) = (view.width, view.height);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let bytes = bytes_per_sample(view.format);
        let mut coefficients = Coefficients::new(view.format, view.matrix, view.full_range);
        let sizes: &[(usize, usize, usize)] = match view.format {
            PixelFormat::Rgba => &[(width, height, 4)],
            PixelFormat::Nv12 | PixelFormat::P010 => &[(width, height, 1), (half_width, half_height, 2)],
            PixelFormat::I420 | PixelFormat::I420Ten => {
                &[(width, height, 1), (half_width, half_height, 1), (half_width, half_height, 1)]
            }
        };
        for ((&(width, height, components), plane), texture) in
            sizes.iter().zip(view.planes).zip(&mut self.textures)
        {
            let upload = Upload { data: plane.data, stride: plane.stride, width, height, components, bytes };
            if bytes == 2 && !self.deep {
                let narrow = upload.narrow(view.format)?;
                let narrow = Upload { data: &narrow, stride: width * components, bytes: 1, ..upload };
                // SAFETY: the caller's.
                unsafe { texture.fill(gl, &narrow)? };
            } else {
                // SAFETY: the caller's.
                unsafe { texture.fill(gl, &upload)? };
            }
        }
        if bytes == 2 && !self.deep {
            // Eight bits were kept of each code: a share of the largest code needs no scale any more.
            coefficients.scale = 255.0 * 4.0 / 1023.0;
        }
        let (w, h) = (width as f32, height as f32);
        Some(Loaded {
            planes: sizes.len() as i32,
            coefficients,
            // Chroma samples stand on the left of their pixel pair (MPEG-2 siting, H.264 table E-1 type 0), half a
            // pixel from the middle; an odd edge has a sample of its own.
            chroma: [
                w / (2.0 * half_width as f32),
                h / (2.0 * half_height as f32),
                0.25 / half_width as f32,
                0.0,
            ],
        })
    }
}

impl Upload<'_> {
    /// Ten bits to eight, for cards without 16-bit textures.
    fn narrow(&self, format: PixelFormat) -> Option<Vec<u8>> {
        let shift = if format == PixelFormat::P010 { 8 } else { 2 };
        let row = self.width * self.components * 2;
        let mut out = Vec::with_capacity(row / 2 * self.height);
        for y in 0..self.height {
            let line = self.data.get(y * self.stride..)?.get(..row)?;
            out.extend(
                line.chunks_exact(2).map(|pair| (u16::from_le_bytes([pair[0], pair[1]]) >> shift) as u8),
            );
        }
        Some(out)
    }

    /// The driver reads so many bytes from the start of the plane.
    fn is_whole(&self) -> bool {
        let row = self.width * self.components * self.bytes;
        self.height > 0
            && self.width > 0
            && self.stride >= row
            && self.stride.is_multiple_of(self.components * self.bytes)
            && self
                .stride
                .checked_mul(self.height - 1)
                .and_then(|before| before.checked_add(row))
                .is_some_and(|needed| needed <= self.data.len())
    }
}

impl Texture {
    unsafe fn fill(&mut self, gl: &glow::Context, upload: &Upload<'_>) -> Option<()> {
        if !upload.is_whole() {
            return None;
        }
        let (width, height) = (i32::try_from(upload.width).ok()?, i32::try_from(upload.height).ok()?);
        let (inside, layout) = match (upload.components, upload.bytes) {
            (1, 1) => (glow::R8, glow::RED),
            (2, 1) => (glow::RG8, glow::RG),
            (1, 2) => (glow::R16, glow::RED),
            (2, 2) => (glow::RG16, glow::RG),
            _ => (glow::RGBA8, glow::RGBA),
        };
        let kind = if upload.bytes == 2 { glow::UNSIGNED_SHORT } else { glow::UNSIGNED_BYTE };
        let row_length = i32::try_from(upload.stride / (upload.components * upload.bytes)).ok()?;
        // SAFETY: the caller's; `is_whole` holds, so the driver reads inside the slice.
        unsafe {
            gl.active_texture(glow::TEXTURE0);
            gl.bind_texture(glow::TEXTURE_2D, Some(self.name));
            gl.bind_buffer(glow::PIXEL_UNPACK_BUFFER, None);
            gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
            if self.allocated != Some((width, height, inside)) {
                for (what, value) in [
                    (glow::TEXTURE_MIN_FILTER, glow::LINEAR),
                    (glow::TEXTURE_MAG_FILTER, glow::LINEAR),
                    (glow::TEXTURE_WRAP_S, glow::CLAMP_TO_EDGE),
                    (glow::TEXTURE_WRAP_T, glow::CLAMP_TO_EDGE),
                ] {
                    gl.tex_parameter_i32(glow::TEXTURE_2D, what, value as i32);
                }
                let nothing = PixelUnpackData::Slice(None);
                gl.tex_image_2d(glow::TEXTURE_2D, 0, inside as i32, width, height, 0, layout, kind, nothing);
                self.allocated = Some((width, height, inside));
            }
            gl.pixel_store_i32(glow::UNPACK_ROW_LENGTH, row_length);
            let data = PixelUnpackData::Slice(Some(upload.data));
            gl.tex_sub_image_2d(glow::TEXTURE_2D, 0, 0, 0, width, height, layout, kind, data);
            gl.pixel_store_i32(glow::UNPACK_ROW_LENGTH, 0);
            gl.bind_texture(glow::TEXTURE_2D, None);
        }
        Some(())
    }
}

unsafe fn compile(gl: &glow::Context, version: ShaderVersion) -> Result<glow::Program, String> {
    let precision = if version.is_embedded() { "precision highp float;\nprecision highp int;\n" } else { "" };
    // SAFETY: the caller's; names are used only while they live.
    unsafe {
        let program = gl.create_program()?;
        for (kind, source) in [(glow::VERTEX_SHADER, VERTEX), (glow::FRAGMENT_SHADER, FRAGMENT)] {
            let shader = gl.create_shader(kind)?;
            gl.shader_source(shader, &format!("{}{precision}{source}", version.version_declaration()));
            gl.compile_shader(shader);
            if !gl.get_shader_compile_status(shader) {
                return Err(format!("the video shader does not compile: {}", gl.get_shader_info_log(shader)));
            }
            gl.attach_shader(program, shader);
            // Goes with the program.
            gl.delete_shader(shader);
        }
        gl.link_program(program);
        if !gl.get_program_link_status(program) {
            return Err(format!("the video shader does not link: {}", gl.get_program_info_log(program)));
        }
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(data: &[u8], stride: usize, width: usize, height: usize) -> Upload<'_> {
        Upload { data, stride, width, height, components: 1, bytes: 1 }
    }

    #[test]
    fn the_driver_never_reads_past_a_plane() {
        let data = [0; 100];
        assert!(upload(&data, 10, 10, 10).is_whole());
        assert!(upload(&data, 12, 4, 9).is_whole(), "the last row needs no padding");
        assert!(!upload(&data, 12, 5, 9).is_whole());
        assert!(!upload(&data, 10, 10, 11).is_whole());
        assert!(!upload(&data, 5, 10, 2).is_whole());
        assert!(!upload(&data, 0, 0, 0).is_whole());
        assert!(!upload(&data, usize::MAX, 1, 3).is_whole());
        let pairs = Upload { data: &data, stride: 11, width: 2, height: 2, components: 2, bytes: 1 };
        assert!(!pairs.is_whole(), "a row length in whole pixels cannot say this stride");
    }

    #[test]
    fn ten_bits_become_the_upper_eight() {
        let code = 940_u16;
        let low = code.to_le_bytes();
        let high = (code << 6).to_le_bytes();
        for (data, format) in [(low, PixelFormat::I420Ten), (high, PixelFormat::P010)] {
            let upload = Upload { data: &data, stride: 2, width: 1, height: 1, components: 1, bytes: 2 };
            assert_eq!(upload.narrow(format), Some(vec![235]), "{format:?}");
        }
    }
}
