"""Stand-in for tf_transformations: quaternions x, y, z, w, Euler angles in 24 conventions, 4 x 4 matrices."""

from tf_transformations.euler import euler_from_matrix, euler_from_quaternion, euler_matrix, quaternion_from_euler
from tf_transformations.matrices import (
    concatenate_matrices,
    identity_matrix,
    inverse_matrix,
    is_same_transform,
    rotation_matrix,
    translation_from_matrix,
    translation_matrix,
    unit_vector,
    vector_norm,
)
from tf_transformations.quaternions import (
    quaternion_about_axis,
    quaternion_conjugate,
    quaternion_from_matrix,
    quaternion_inverse,
    quaternion_matrix,
    quaternion_multiply,
    quaternion_slerp,
    random_quaternion,
    random_rotation_matrix,
)

__all__ = [
    "concatenate_matrices",
    "euler_from_matrix",
    "euler_from_quaternion",
    "euler_matrix",
    "identity_matrix",
    "inverse_matrix",
    "is_same_transform",
    "quaternion_about_axis",
    "quaternion_conjugate",
    "quaternion_from_euler",
    "quaternion_from_matrix",
    "quaternion_inverse",
    "quaternion_matrix",
    "quaternion_multiply",
    "quaternion_slerp",
    "random_quaternion",
    "random_rotation_matrix",
    "rotation_matrix",
    "translation_from_matrix",
    "translation_matrix",
    "unit_vector",
    "vector_norm",
]
